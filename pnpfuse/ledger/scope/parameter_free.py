"""Whether k does nothing but say how many neighbours there are."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pnpfuse.fusion.scope.simplex import normalised_weights, simplex_weights
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.neighbours import BATCH, SAID, K, neighbour_costs

MORE = BATCH - 1
# A weight near 0 is the root of a difference: rounding of 1e-15 is one of 3e-8 in it.
LIMIT = 1e-6


def measure(bench: Bench) -> Found:
    """How the weights of a row's nearest move when k grows, by form."""
    of = {}
    for name, cost in neighbour_costs(bench, MORE).items():
        if cost.shape[1] > K:
            printed, exact = (_moved(w, cost) for w in (normalised_weights, simplex_weights))
            of[name] = {
                "printed": float(printed.mean()),
                "exact": float(exact.max()),
                "weighing": [
                    float((weigh(cost) > 0).sum(1).double().mean())
                    for weigh in (normalised_weights, simplex_weights)
                ],
            }
    if not of:
        raise CannotTry(f"needs batches with more than {K} neighbours")
    return {"of": of}


def _moved(weigh: Callable[[Tensor], Tensor], cost: Tensor) -> Tensor:
    """Share of the weight of each row's first K (rows,) that lies elsewhere among them."""
    few, more = weigh(cost[:, :K]), weigh(cost)[:, :K]
    return (few / few.sum(1, keepdim=True) - more / more.sum(1, keepdim=True)).abs().sum(1) / 2


def judge(found: Found) -> Verdict:
    """Holds if the closed form's weights stay; with a correction if the solved ones do."""
    of = found["of"].values()
    if max(one["printed"] for one in of) <= LIMIT:
        return holds()
    if max(one["exact"] for one in of) <= LIMIT:
        return corrected(
            "with the multiplier solved for, k changes nothing, not even how many neighbours have "
            "a weight; in the closed form it moves weight as a kernel's width does"
        )
    return fails("also with the multiplier solved for, the weights of the nearest depend on k")


def say(found: Found) -> str:
    """The shares that move."""
    said = "; ".join(
        f"{name} {one['printed']:.0%}, {one['exact']:.1g} ({one['weighing'][0]:.0f}, "
        f"{one['weighing'][1]:.0f})"
        for name, one in found["of"].items()
    )
    return (
        "share of the weight that moves as printed and, at most, if solved for (how many of "
        f"{MORE} neighbours weigh in either): {said}"
    )


CLAIM = Claim(
    statement="The graph's weights need no hyperparameter that sets how sharp they are; k only "
    "says how many neighbours a sample has.",
    source="SCOPE Sec. 4.2, Theorem 1",
    protocol=f"Weights of the same samples with k = {K} and with k = {MORE}: the share of the "
    f"weight of the {K} nearest that lies elsewhere among them, as Theorem 1 prints them, mean "
    f"over the rows, and with the multiplier solved for, the largest; {SAID}.",
    threshold=f"a share of at most {LIMIT:g} moves",
    measure=measure,
    judge=judge,
    say=say,
)
