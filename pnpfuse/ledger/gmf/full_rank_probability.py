"""How likely a map to n l features has full rank."""

from __future__ import annotations

import numpy as np
import torch

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.mapped import up_and_down

WIDTH = 8
FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
DRAWS, FEWER = 400, 40


def measure(bench: Bench) -> Found:
    """Share of maps with full rank, and their condition, over n."""
    draws = FEWER if bench.quick else DRAWS
    full, conditions, signs = [], [], []
    for n in FACTORS:
        maps = torch.stack([up_and_down(WIDTH, n, seed)[0] for seed in range(draws)])
        full.append(_full_rank(maps))
        spread = torch.linalg.svdvals(maps)
        conditions.append(float((spread[:, 0] / spread[:, -1]).median()))
        signs.append(_full_rank(maps.sign()))
    return {"factors": FACTORS, "full": full, "signs": signs, "conditions": conditions}


def _full_rank(maps: torch.Tensor) -> float:
    """Share of the maps (draws, n l, l) whose rank is l."""
    return float((torch.linalg.matrix_rank(maps) == maps.shape[-1]).double().mean())


def judge(found: Found) -> Verdict:
    """Holds where the probability still grows beyond n = 1."""
    from_one = [f for n, f in zip(found["factors"], found["full"], strict=True) if n >= 1]
    below = [f for n, f in zip(found["factors"], found["full"], strict=True) if n < 1]
    if max(below) > 0 or np.any(np.diff(from_one) < 0):
        return fails("the probability does not grow with n")
    if from_one[0] < 1:
        return holds() if from_one[-1] > from_one[0] else fails("no map has full rank at any n")
    return corrected(
        "for weights of a continuous distribution it is 0 below n = 1 and 1 from there on; what a "
        "larger n betters is the condition"
    )


def say(found: Found) -> str:
    """The shares, and the condition."""
    shares = ", ".join(
        f"{f:.0%} at n = {n:g}" for n, f in zip(found["factors"], found["full"], strict=True)
    )
    one = found["factors"].index(1.0)
    return (
        f"full rank in {shares}; median condition {found['conditions'][one]:.0f} at n = 1 and "
        f"{found['conditions'][-1]:.1f} at n = {found['factors'][-1]:g}; with the signs of the "
        f"weights alone {found['signs'][one]:.0%} and {found['signs'][-1]:.0%}"
    )


CLAIM = Claim(
    statement="The probability that the map to n l features has full rank grows with n, also "
    "beyond n = 1; below n = 1 it is not to be had.",
    source="GMF App. D.1, below Eq. 43",
    protocol=f"{DRAWS} (quick {FEWER}) maps of l = {WIDTH} features, drawn as new linear layers "
    f"for n = {FACTORS}: the share whose rank is l, in double precision, and the ratio of the "
    "largest to the smallest singular value; beside it the signs of the same weights alone, which "
    "take two values.",
    threshold="holds if the share is below 1 at n = 1 and larger at the largest n; corrected if "
    "it is 0 below n = 1 and 1 from there on",
    measure=measure,
    judge=judge,
    say=say,
)
