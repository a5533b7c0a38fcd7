"""Whether PMR depends less than Concat on the width of the features."""

from __future__ import annotations

import numpy as np

from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

WIDTHS = (4, 16, None)  # None: the default, the features' own width and at most 64
NAMED = " / ".join("own" if width is None else str(width) for width in WIDTHS)
MODELS = {"Concat": "concat", "PMR": "rpmr"}


def trainings(bench: Bench) -> list[Training]:
    """Both at every width."""
    bench.need(2)
    return [_training(model, width) for model in MODELS.values() for width in WIDTHS]


def measure(bench: Bench) -> Found:
    """Scores over the widths, and how far apart the best and the worst width are."""
    bench.need(2)
    scores = {
        name: np.array([bench.accuracy(_training(model, width)) for width in WIDTHS])
        for name, model in MODELS.items()
    }  # (width, seed)
    ranges = {name: np.ptp(of, axis=0) for name, of in scores.items()}
    return {
        "means": {name: of.mean(1) for name, of in scores.items()},
        "ranges": ranges,
        "difference": interval(ranges["Concat"] - ranges["PMR"], bench.step),
    }


def judge(found: Found) -> Verdict:
    """Holds where Concat's range is the larger beyond the spread."""
    difference = found["difference"]
    if difference["low"] > 0:
        return holds()
    if difference["high"] < 0:
        return fails("PMR depends more on the width than Concat")
    return fails("PMR depends on the width as much as Concat, within the spread over seeds")


def say(found: Found) -> str:
    """Scores by width, and the ranges."""
    said = [
        f"{name} {' / '.join(f'{one:.1f}' for one in means)} %, range "
        f"{spread(np.array(found['ranges'][name]))}"
        for name, means in found["means"].items()
    ]
    return (
        f"widths {NAMED}: {'; '.join(said)}; difference of the ranges "
        f"{said_interval(found['difference'])} points"
    )


def _training(model: str, width: int | None) -> Training:
    return Training(model, {} if width is None else {"width": width})


CLAIM = Claim(
    statement="Concat is highly sensitive to the dimension chosen for the modalities' own "
    "features; PMR is far less so.",
    source="PMR Sec. 5.4, Fig. 3",
    protocol=f"Both trained with the same seeds and encoders of {NAMED} outputs for every "
    "modality (own: as many as it has features, at most 64); the range of the test score over the "
    "widths, seed by seed. The paper does not say which dimension it varies; this is the width of "
    "what Concat puts side by side.",
    threshold=f"the {INTERVAL} of the paired difference of the ranges Concat - PMR lies above 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
