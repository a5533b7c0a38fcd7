"""Whether Theorem 1's weights are the minimum of Eq. (4)."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse.fusion.scope.simplex import normalised_weights, printed_weights, simplex_weights
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.neighbours import SAID, neighbour_costs

# What no weights of sum 1 can undercut is known to rounding, times what rows of nearly equal
# distances amplify.
LIMIT = 1e-6


def measure(bench: Bench) -> Found:
    """How far the objective of each form is from the least that there can be."""
    costs = neighbour_costs(bench)
    return {
        "of": {
            name: {
                "sum": float((printed_weights(cost).sum(1) - 1).abs().max()),
                "printed": float(_excess(normalised_weights(cost), cost).median()),
                "exact": float(_above_bound(simplex_weights(cost), cost).max()),
            }
            for name, cost in costs.items()
        }
    }


def _objective(g: Tensor, cost: Tensor) -> Tensor:
    """Eq. (4), a number a row."""
    return (2 * torch.atanh(g) * cost).sum(1)


def _above_bound(g: Tensor, cost: Tensor) -> Tensor:
    """Most that g (rows, k) of sum 1 can lie above the minimum, as a share of its objective.

    The objective is convex, so it lies above its tangent plane at g, which on the simplex is
    smallest at a corner.
    """
    slope = 2 * cost / (1 - g.square())
    gap = (slope * g).sum(1) - slope.amin(1)
    return gap / _objective(g, cost) + (g.sum(1) - 1).abs()


def _excess(g: Tensor, cost: Tensor) -> Tensor:
    """How far the objective of g lies above that of the exact weights, as a share."""
    return _objective(g, cost) / _objective(simplex_weights(cost), cost) - 1


def judge(found: Found) -> Verdict:
    """Holds if the closed form is feasible and least; with a correction if the exact one is."""
    of = found["of"].values()
    if all(max(one["sum"], one["printed"]) <= LIMIT for one in of):
        return holds()
    if all(one["exact"] <= LIMIT for one in of):
        return corrected("the multiplier has to be solved for in each row")
    return fails("neither the closed form nor the solved one is the minimum")


def say(found: Found) -> str:
    """The excess of the closed form."""
    of = found["of"]
    worst = max(one["exact"] for one in of.values())
    said = ", ".join(f"{one['printed']:.1%} ({name})" for name, one in of.items())
    return (
        f"divided by its sum the closed form lies above the minimum by, median, {said}; solved "
        f"for, by at most {worst:.1g} of it"
    )


CLAIM = Claim(
    statement="The weights of Theorem 1 are the closed-form solution of the graph's objective: the "
    "least of sum psi(g) f over weights of sum 1.",
    source="SCOPE Eq. (4), Eq. (5), Theorem 1",
    protocol=f"The objective of Theorem 1's weights, divided by their sum, beside that of Eq. (5) "
    f"with the multiplier solved for; {SAID}. The objective is convex: the tangent plane at any "
    "weights bounds the minimum from below, so that being the minimum can be proved.",
    threshold=f"weights of sum 1 whose objective is within a share of {LIMIT:g} of the bound",
    measure=measure,
    judge=judge,
    say=say,
)
