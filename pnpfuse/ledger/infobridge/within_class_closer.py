"""Whether the objective brings the same class together most."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.kernel_distances import ALPHAS, WIDTH, at_alpha, distances
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

MOST = ALPHAS[-1]


def trainings(bench: Bench) -> list[Training]:
    """One for each alpha, those of the other claim of the figure."""
    return list(at_alpha(bench).values())


def measure(bench: Bench) -> Found:
    """How much the largest alpha takes from the distances within classes and between them."""
    found = distances(bench)
    within, between = (np.array(found[kind]) for kind in ("within", "between"))  # (alphas, seeds)
    falls = within[0] - within[-1], between[0] - between[-1]
    return {
        "within": interval(falls[0]),
        "between": interval(falls[1]),
        "more": interval(falls[0] - falls[1]),
    }


def judge(found: Found) -> Verdict:
    """Holds where the distance within falls, and more than that between."""
    if found["within"]["low"] > 0 and found["more"]["low"] > 0:
        return holds()
    if found["within"]["high"] < 0:
        return fails("the distance within classes grows")
    if not found["within"]["low"] > 0:
        return fails("the distance within classes does not fall beyond the spread over seeds")
    return fails("it falls no more within classes than between them, beyond the spread over seeds")


def say(found: Found) -> str:
    """Both falls and their difference."""
    return (
        f"alpha = {MOST:g} lowers the distance within classes by "
        f"{said_interval(found['within'], 3)}, between them by "
        f"{said_interval(found['between'], 3)}; difference {said_interval(found['more'], 3)}"
    )


CLAIM = Claim(
    statement="A larger weight of the objective lowers the distance of two modalities more within "
    "a class than between classes.",
    source="InfoBridge Sec. 4.4, Fig. 3",
    protocol=f"InfoBridge around the concatenation with encoders of one width, {WIDTH}, without "
    f"the objective and with alpha = {MOST:g}, the same seeds; mean Gaussian kernel distances of "
    "the encoded test rows over pairs of the same class and of two, at the median bandwidth of the "
    "features without the objective.",
    threshold=f"the {INTERVAL} of the fall within classes above 0, and that of its difference to "
    "the fall between them",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
