"""Whether features keep their directions."""

from __future__ import annotations

import numpy as np

from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.encodings import encoded
from pnpfuse.ledger.measures.paired import GAIN, contrast, judge_gain, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import effective_rank

FULL = Training("infobridge")
PLAIN = Training("infobridge", {"objective": "infonce", "condition": "none"})


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FULL, PLAIN]


def measure(bench: Bench) -> Found:
    """Effective ranks of both, seed by seed."""
    bench.need(2)
    ours, theirs = (
        [_rank(bench, training, seed) for seed in bench.seeds] for training in (FULL, PLAIN)
    )
    return contrast(ours, theirs, ("the rank with InfoBridge", "with InfoNCE"))


def _rank(bench: Bench, training: Training, seed: int) -> float:
    """The mean over the modalities."""
    found = encoded(bench, training, seed)
    return float(
        np.mean([float(effective_rank(z[found.present[m]])) for m, z in found.features.items()])
    )


def say(found: Found) -> str:
    """Both ranks and the difference."""
    ours, theirs = (spread(np.array(found[k])) for k in ("one", "other"))
    return (
        f"effective rank {ours} directions, with InfoNCE {theirs}: "
        f"{said_interval(found['difference'])}"
    )


CLAIM = Claim(
    statement="Unlike plain maximisation of mutual information, the conditional objective with its "
    "margin keeps the modalities' features from collapsing.",
    source="InfoBridge Sec. 3, after Eq. (5)",
    protocol="InfoBridge around the concatenation, and the same with InfoNCE and no context, the "
    "same seeds; the effective rank of each modality's encoded test rows, the mean over the "
    "modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say,
    trainings=trainings,
)
