"""Whether diffused attention sums to 1."""

from __future__ import annotations

import torch

from pnpfuse.fusion.diffusion import propagate
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.batch_attention import SAID, batch

STEPS, RATES, LONG = 3, (0.1, 0.3, 0.5), 400
LIMIT = 1e-9  # of sums over a batch in double precision


def measure(bench: Bench) -> Found:
    """Row sums over the rates, as printed and renormalised; and of the long series."""
    batches = [batch(bench, seed) for seed in bench.seeds]
    attentions = [one.attention("neighbours") for one in batches]
    ones = torch.ones_like(batches[0].x[:, :1])

    def sums(form: str, steps: int) -> list[list[float]]:
        """Smallest and largest by rate."""
        found = [
            torch.stack([propagate(ones, A, steps, form=form, xi=xi) for A in attentions])
            for xi in RATES
        ]
        return [[float(one.min()), float(one.max())] for one in found]

    return {
        "printed": sums("truncated", STEPS),
        "renormalised": sums("renormalised", STEPS),
        "long": sums("truncated", LONG),
        "least": min(float(A.weight.min()) for A in attentions),
    }


def judge(found: Found) -> Verdict:
    """Holds if the printed sum is 1; with a correction if the renormalised one is."""
    if found["least"] < 0:
        return fails("the attention has weights below 0")
    if _gap(found["printed"]) <= LIMIT:
        return holds()
    if max(_gap(found["renormalised"]), _gap(found["long"])) <= LIMIT:
        return corrected("of the infinite series; cut off after T, divide by 1 - (1 - xi)^(T + 1)")
    return fails("neither the cut nor the renormalised series sums to 1")


def _gap(sums: list[list[float]]) -> float:
    return max(abs(value - 1) for pair in sums for value in pair)


def say(found: Found) -> str:
    """The sums."""
    said = ", ".join(
        f"{low:.3f} (xi = {xi})" for xi, (low, _) in zip(RATES, found["printed"], strict=True)
    )
    return (
        f"after T = {STEPS} the rows sum to {said}; renormalised to 1 within "
        f"{_gap(found['renormalised']):.1g}, the series of {LONG} steps within "
        f"{_gap(found['long']):.1g}"
    )


CLAIM = Claim(
    statement="The diffusion attention is row-stochastic, and so an attention in its own right.",
    source="SCOPE Sec. 4.3, remark",
    protocol=f"Row sums of sum over t <= T of xi (1 - xi)^t A^t at T = {STEPS} and xi of "
    f"{', '.join(map(str, RATES))}, as printed, divided by the sum of its weights, and carried on "
    f"to T = {LONG}; {SAID}.",
    threshold=f"every row sum within {LIMIT:g} of 1, no weight below 0",
    measure=measure,
    judge=judge,
    say=say,
)
