"""How well one modality tells the other."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeCV

from pnpfuse.findings import spread
from pnpfuse.fusion.infobridge import TABLE2
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.encodings import Pair, encoded
from pnpfuse.ledger.measures.paired import GAIN, interval, judge_gain, said_interval
from pnpfuse.ledger.training import Training

FULL, WITHOUT = Training("infobridge"), Training("infobridge", TABLE2["w/o CMI objective"])
PENALTIES = np.logspace(-2, 4, 7)


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FULL, WITHOUT]


def measure(bench: Bench) -> Found:
    """The mapping error without and with the objective, in percent, seed by seed."""
    bench.need(2)
    ours, theirs = (
        np.array([_error(bench, training, seed) for seed in bench.seeds])
        for training in (FULL, WITHOUT)
    )
    return {
        "one": ours.tolist(),
        "other": theirs.tolist(),
        "names": ["the mapping with the objective", "without it"],
        "difference": interval(theirs - ours),
    }


def _error(bench: Bench, training: Training, seed: int) -> float:
    """The mean over the pairs of modalities."""
    known = encoded(bench, training, seed, "train").pairs()
    fresh = encoded(bench, training, seed).pairs()
    return 100 * float(np.mean([_of_pair(a, b) for a, b in zip(known, fresh, strict=True)]))


def _of_pair(known: Pair, fresh: Pair) -> float:
    """Mean distance of v(z1) from z2 on fresh rows, over that of the mean of z2 from z2."""
    x, y = (one.numpy() for one in known[:2])
    u, w = (one.numpy() for one in fresh[:2])
    missed = np.linalg.norm(RidgeCV(PENALTIES).fit(x, y).predict(u) - w, axis=1).mean()
    return missed / max(np.linalg.norm(y.mean(0) - w, axis=1).mean(), np.finfo(float).tiny)


def say(found: Found) -> str:
    """Both errors and the difference."""
    ours, theirs = (spread(np.array(found[k])) for k in ("one", "other"))
    return (
        f"mapping error {ours} % of the spread, without the objective {theirs} %: less by "
        f"{said_interval(found['difference'])} points"
    )


CLAIM = Claim(
    statement="Maximising the conditional information lowers the error of mapping one modality's "
    "features to another's.",
    source="InfoBridge Sec. 3.1, Eq. (11)",
    protocol="InfoBridge around the concatenation, and the same without its objective, the same "
    "seeds; a ridge regression from the encoded training rows of one modality to those of the "
    "next, its mean distance on test rows over the one that the mean alone has, since scaling the "
    "features is no gain; the mean over the pairs of modalities.",
    threshold=f"{GAIN}, without the objective less with it",
    measure=measure,
    judge=judge_gain,
    say=say,
    trainings=trainings,
)
