"""Whether the regulariser keeps the weight off a single neighbour."""

from __future__ import annotations

from pnpfuse.fusion.scope.simplex import simplex_weights
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.neighbours import SAID, neighbour_costs

LEAST = 2


def measure(bench: Bench) -> Found:
    """How many neighbours weigh, and like how many equal ones, by what the costs are of."""
    of = {}
    for name, cost in neighbour_costs(bench).items():
        g = simplex_weights(cost)
        like = 1 / g.square().sum(1)
        of[name] = {
            "fewest": int((g > 0).sum(1).min()),
            "mean": float((g > 0).sum(1).double().mean()),
            "like": [float(like.min()), float(like.mean())],
            "k": cost.shape[1],
        }
    return {"of": of}


def judge(found: Found) -> Verdict:
    """Holds where every sample has two neighbours that weigh."""
    alone = [name for name, one in found["of"].items() if one["fewest"] < LEAST]
    return fails(f"a single neighbour has all the weight: {', '.join(alone)}") if alone else holds()


def say(found: Found) -> str:
    """How many weigh."""
    said = "; ".join(
        f"{name} {one['mean']:.1f} of {one['k']}, {one['fewest']} ({one['like'][1]:.1f}, "
        f"{one['like'][0]:.1f})"
        for name, one in found["of"].items()
    )
    return f"neighbours that weigh, mean and fewest (like how many equal ones): {said}"


CLAIM = Claim(
    statement="With psi(g) = log((1 + g) / (1 - g)) the graph's weights do not gather on a single "
    "neighbour, as they do without a regulariser.",
    source="SCOPE Sec. 4.2, Eq. (4)",
    protocol="The weights that minimise Eq. (4): how many of a sample's neighbours have any, and "
    f"how many equal ones would be as spread (1 over the sum of squares); {SAID}. With psi = 0 the "
    "minimum is the nearest alone.",
    threshold=f"at least {LEAST} neighbours with a weight above 0 in every row",
    measure=measure,
    judge=judge,
    say=say,
)
