"""Theorem 1's lower bound of the multiplier, which its closed form takes for the multiplier."""

from __future__ import annotations

from pnpfuse.fusion.scope.simplex import multiplier, simplex_weights
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.neighbours import SAID, neighbour_costs

LIMIT = 1e-9  # of sums of a few dozen terms in double precision


def measure(bench: Bench) -> Found:
    """Share of the rows in which each form of the bound holds, and how many neighbours weigh."""
    found = {}
    for name, cost in neighbour_costs(bench).items():
        exact, active = multiplier(cost), simplex_weights(cost) > 0
        k, a = cost.shape[1], active.sum(1)
        printed = 2 * k / (k * k - 1) * cost.sum(1)
        counted = 2 * a / (a * a - 1) * (cost * active).sum(1)
        found[name] = {
            "printed": float((exact >= (1 - LIMIT) * printed).double().mean()),
            "counted": float((exact >= (1 - LIMIT) * counted).double().mean()),
            "ratio": float((exact / printed).median()),
            "active": float(a.double().mean()),
            "k": k,
        }
    return {"of": found}


def judge(found: Found) -> Verdict:
    """Holds if the printed bound does in every row; with a correction if the other one does."""
    of = found["of"].values()
    if min(one["printed"] for one in of) == 1:
        return holds()
    if min(one["counted"] for one in of) == 1:
        return corrected(
            "k and S have to count only the neighbours with a weight above 0; where some have none "
            "the multiplier lies below the printed bound"
        )
    return fails("rows lie below the bound, also if only neighbours with a weight count")


def say(found: Found) -> str:
    """Shares of rows, and how far below."""
    said = "; ".join(
        f"{name} {one['printed']:.0%}, {one['ratio']:.2f}, {one['counted']:.0%} "
        f"({one['active']:.1f} of {one['k']})"
        for name, one in found["of"].items()
    )
    return (
        "rows in which it holds, lambda over the bound (median), and rows in which it holds if "
        f"only the neighbours that weigh count (mean number of them): {said}"
    )


CLAIM = Claim(
    statement="The multiplier lambda of a sample's graph weights is at least 2 k S / (k^2 - 1), "
    "where S is the sum of the squared distances to its k nearest neighbours.",
    source="SCOPE Theorem 1",
    protocol=f"The multiplier for which the weights of Eq. (5) sum to 1, solved for; {SAID}. "
    "Beside it the same bound with the number of neighbours whose weight is above 0 for k and the "
    "sum of their squared distances for S.",
    threshold=f"lambda not below the bound by more than a share of {LIMIT:g} in any row",
    measure=measure,
    judge=judge,
    say=say,
)
