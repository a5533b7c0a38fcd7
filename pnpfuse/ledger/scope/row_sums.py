"""Whether the graph that Theorem 1 writes down has rows of sum 1."""

from __future__ import annotations

from pnpfuse.fusion.scope.semantic import printed_weights, simplex_weights
from pnpfuse.fusion.scope.simplex import normalised_weights
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.neighbours import SAID, neighbour_costs

LIMIT = 1e-9  # of a sum of a few dozen weights in double precision
FORMS = {"exact": simplex_weights, "normalised": normalised_weights}


def measure(bench: Bench) -> Found:
    """Row sums as printed, and how far those of the other forms are from 1."""
    costs = neighbour_costs(bench)
    printed = {name: printed_weights(cost).sum(1) for name, cost in costs.items()}
    return {
        "printed": {
            name: [float(sums.min()), float(sums.mean()), float(sums.max())]
            for name, sums in printed.items()
        },
        "gap": max(float((sums - 1).abs().max()) for sums in printed.values()),
        "others": {
            form: max(float((weigh(cost).sum(1) - 1).abs().max()) for cost in costs.values())
            for form, weigh in FORMS.items()
        },
    }


def judge(found: Found) -> Verdict:
    """Holds if the printed rows sum to 1; with a correction if both other forms do."""
    if found["gap"] <= LIMIT:
        return holds()
    if max(found["others"].values()) <= LIMIT:
        return corrected("divide by the sum, or solve for the multiplier")
    return fails("no form of the weights sums to 1")


def say(found: Found) -> str:
    """The range of the printed sums."""
    said = ", ".join(
        f"{low:.2f} to {high:.2f}, mean {mean:.2f} ({name})"
        for name, (low, mean, high) in found["printed"].items()
    )
    others = " and ".join(f"{form} to {gap:.1g}" for form, gap in found["others"].items())
    return f"as printed the rows sum to {said}; to 1 {others}"


CLAIM = Claim(
    statement="The graph of Theorem 1's weights is row-stochastic: the weights of a sample's "
    "neighbours sum to 1.",
    source="SCOPE Sec. 3 (Eq. 2), Theorem 1",
    protocol=f"Row sums of Theorem 1's closed form; {SAID}. Beside it the closed form divided by "
    "its sum, and Eq. (5) with the multiplier that is solved for.",
    threshold=f"every row sum within {LIMIT:g} of 1",
    measure=measure,
    judge=judge,
    say=say,
)
