"""Whether alignment makes the modalities' neighbourhoods agree."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.fusion.scope import TABLE6
from pnpfuse.fusion.scope.semantic import semantic_graph
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import (
    GAIN,
    contrast,
    draw_difference,
    judge_gain,
    said_interval,
)
from pnpfuse.ledger.measures.scope_states import WHOLE, fused, whole_rows
from pnpfuse.ledger.training import Training

WITHOUT = Training("scope", TABLE6["w/o SCA"])
ROWS, K = 400, 10


def trainings(bench: Bench) -> list[Training]:
    """SCOPE with and without alignment."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Percent of a sample's neighbours that two modalities share, seed by seed."""
    bench.need(2)
    test = bench.views.test
    rows = whole_rows(test, ROWS)
    ours, theirs = (
        [_shared(fused(bench.model(t, seed), test, rows).refined) for seed in bench.seeds]
        for t in (WHOLE, WITHOUT)
    )
    chance = 100 * min(1.0, K / (len(rows) - 1))
    return contrast(ours, theirs, ("SCOPE", "SCOPE without alignment")) | {"chance": chance}


def _shared(refined: dict[str, Tensor]) -> float:
    """Percent, mean over samples and pairs of modalities."""
    h = torch.stack(list(refined.values()))  # (M, N, d)
    index = semantic_graph(h, K).index  # (M, N, k)
    near = torch.zeros(*h.shape[:2], h.shape[1], dtype=torch.bool).scatter(-1, index, True)
    both = [(near[m] & near[n]).sum(-1).double().mean() for m, n in combinations(range(len(h)), 2)]
    return 100 * float(torch.stack(both).mean()) / index.shape[-1]


def say(found: Found) -> str:
    """Both shares."""
    return (
        f"two modalities share {np.mean(found['one']):.1f} % of a sample's {K} neighbours, without "
        f"alignment {np.mean(found['other']):.1f} %, by chance {found['chance']:.1f} %: "
        f"{said_interval(found['difference'])} points"
    )


def draw(found: Found):
    """A line a seed."""
    return draw_difference(found, "neighbours that two modalities share / %")


CLAIM = Claim(
    statement="Structure-consistent alignment makes the neighbourhoods of the samples agree across "
    "modalities.",
    source="SCOPE Sec. 4.2, Eq. (6)",
    protocol=f"The {K} nearest of each of at most {ROWS} test rows in the refined features of each "
    "modality: the share of them that two modalities have in common, mean over the pairs, in SCOPE "
    "and in SCOPE without alignment as in Table 6, trained with the same seeds.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say,
    draw=draw,
    trainings=trainings,
)
