"""Theorem 1's upper bound of the multiplier."""

from __future__ import annotations

from pnpfuse.fusion.scope.simplex import multiplier
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.neighbours import SAID, neighbour_costs

LIMIT = 1e-9  # of sums of a few dozen terms in double precision


def measure(bench: Bench) -> Found:
    """The largest multiplier over its bound, by what the costs are of."""
    largest = {}
    for name, cost in neighbour_costs(bench).items():
        bound = 2 / (cost.shape[1] - 1) * cost.sum(1)
        largest[name] = float((multiplier(cost) / bound).max())
    return {"largest": largest}


def judge(found: Found) -> Verdict:
    """Holds where no multiplier exceeds its bound."""
    worst = max(found["largest"].values())
    return holds() if worst <= 1 + LIMIT else fails(f"a multiplier is {worst:.3f} of its bound")


def say(found: Found) -> str:
    """The largest share of the bound."""
    said = ", ".join(f"{value:.3f} ({name})" for name, value in found["largest"].items())
    return f"lambda is at most this share of its bound: {said}"


CLAIM = Claim(
    statement="The multiplier lambda of a sample's graph weights lies below 2 S / (k - 1), where S "
    "is the sum of the squared distances to its k nearest neighbours.",
    source="SCOPE Theorem 1",
    protocol=f"The multiplier for which the weights of Eq. (5) sum to 1, solved for; {SAID}.",
    threshold=f"lambda (k - 1) / (2 S) at most 1 + {LIMIT:g} in every row",
    measure=measure,
    judge=judge,
    say=say,
)
