"""Whether disentanglement keeps representations from collapsing."""

from __future__ import annotations

import numpy as np

from pnpfuse.fusion.scope import TABLE6
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
from pnpfuse_analysis import effective_rank

WITHOUT = Training("scope", TABLE6["w/o MID"])
ROWS = 500


def trainings(bench: Bench) -> list[Training]:
    """SCOPE with and without the loss."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Effective ranks, mean over the modalities, seed by seed."""
    bench.need(2)
    ours, theirs = (_ranks(bench, training) for training in (WHOLE, WITHOUT))
    return contrast(ours, theirs, ("SCOPE", "SCOPE without the loss"))


def _ranks(bench: Bench, training: Training) -> list[float]:
    test = bench.views.test
    rows = whole_rows(test, ROWS)
    found = []
    for seed in bench.seeds:
        refined = fused(bench.model(training, seed), test, rows).refined
        ranks = [float(effective_rank(h, centre=True)) for h in refined.values()]
        found.append(float(np.mean(ranks)))
    return found


def say(found: Found) -> str:
    """Both ranks."""
    ours, theirs = np.mean(found["one"]), np.mean(found["other"])
    return (
        f"effective rank {ours:.1f}, without the loss {theirs:.1f}: "
        f"{said_interval(found['difference'])}"
    )


def draw(found: Found):
    """A line a seed."""
    return draw_difference(found, "effective rank of the refined features")


CLAIM = Claim(
    statement="Disentanglement mitigates the collapse of representations: features keep their "
    "diversity.",
    source="SCOPE abstract, Sec. 4.1",
    protocol=f"The effective rank of the refined features of at most {ROWS} test rows about their "
    "mean (exponential of the entropy of the singular values), mean over the modalities, in SCOPE "
    "trained with the disentanglement loss and without, same seeds.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say,
    draw=draw,
    trainings=trainings,
)
