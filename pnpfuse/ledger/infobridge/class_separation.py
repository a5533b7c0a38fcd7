"""Whether classes stand apart in the joint features."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import silhouette_score

from pnpfuse.findings import spread
from pnpfuse.fusion.infobridge import TABLE2
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.encodings import encoded, joined
from pnpfuse.ledger.measures.paired import GAIN, contrast, judge_gain, said_interval
from pnpfuse.ledger.training import Training

FULL, WITHOUT = Training("infobridge"), Training("infobridge", TABLE2["w/o CMI objective"])


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FULL, WITHOUT]


def measure(bench: Bench) -> Found:
    """Silhouettes of both, seed by seed."""
    bench.need(2)
    ours, theirs = (
        [_silhouette(bench, training, seed) for seed in bench.seeds] for training in (FULL, WITHOUT)
    )
    return contrast(ours, theirs, ("the separation with the objective", "without it"))


def _silhouette(bench: Bench, training: Training, seed: int) -> float:
    found = encoded(bench, training, seed)
    labels = found.labels.numpy()
    if not 1 < len(np.unique(labels)) < len(labels):
        raise CannotTry("the test rows are of one class, or each of its own")
    return float(silhouette_score(joined(found.features).numpy(), labels))


def say(found: Found) -> str:
    """Both silhouettes and the difference."""
    ours, theirs = (spread(np.array(found[k]), 3) for k in ("one", "other"))
    return (
        f"silhouette of the classes {ours}, without the objective {theirs}: "
        f"{said_interval(found['difference'], 3)}"
    )


CLAIM = Claim(
    statement="With the objective classes are more compact and further apart in the features that "
    "the modalities are joined to.",
    source="InfoBridge Sec. 4.4, Fig. 4",
    protocol="InfoBridge around the concatenation, and the same without its objective, the same "
    "seeds; the silhouette of the classes among the concatenated encoded test rows, at most "
    "1, in place of the picture, which shows one seed and no scale.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say,
    trainings=trainings,
)
