"""How well the Hadamard transforms keep the energy of a feature vector."""

from __future__ import annotations

import numpy as np
import torch

from pnpfuse.fusion.srht import SRHT
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

N = 4
WHOLE, OTHER = (16, 64, 256), (10, 40, 100, 300)  # powers of two, and widths that are none
DRAWS = 400
ERRORS = 4  # standard errors of the mean
ROUNDING = 1e-12


def measure(bench: Bench) -> Found:
    """|S x|^2/|x|^2 over draws of S for a fixed x, l -> n l and n l/2 -> l."""
    draws = DRAWS // 4 if bench.quick else DRAWS
    whole = [_ratios(width, N * width, draws) for width in WHOLE]
    sizes = [(width, N * width) for width in OTHER] + [
        (N * width // 2, width) for width in WHOLE + OTHER
    ]
    other = [_ratios(inputs, outputs, draws) for inputs, outputs in sizes]
    return {
        "whole": max(float(np.abs(ratios - 1).max()) for ratios in whole),
        "sizes": sizes,
        "mean": [float(ratios.mean()) for ratios in other],
        "error": [float(ratios.std(ddof=1) / np.sqrt(draws)) for ratios in other],
        "distortion": [float(ratios.std(ddof=1)) for ratios in other],
    }


def judge(found: Found) -> Verdict:
    """Holds where the energy is kept exactly for powers of two and on average elsewhere."""
    if found["whole"] > ROUNDING:
        return fails(f"the energy of a width that is a power of two is off by {found['whole']:.1e}")
    away = [
        abs(mean - 1) / max(error, ROUNDING)
        for mean, error in zip(found["mean"], found["error"], strict=True)
    ]
    if max(away) > ERRORS:
        return fails(f"the mean energy is {max(away):.0f} standard errors away from 1")
    return holds()


def say(found: Found) -> str:
    """Deviations of both kinds of widths."""
    rows = zip(found["sizes"], found["mean"], found["distortion"], strict=True)
    return f"powers of two widened: kept to {found['whole']:.0e}; " + ", ".join(
        f"{inputs} to {outputs}: {mean:.3f} ± {sd:.3f}" for (inputs, outputs), mean, sd in rows
    )


def _ratios(inputs: int, outputs: int, draws: int) -> np.ndarray:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(inputs)
        x = torch.randn(inputs, dtype=torch.float64)
        kept = [SRHT(inputs, outputs)(x).square().sum() / x.square().sum() for _ in range(draws)]
    return torch.stack(kept).numpy()


CLAIM = Claim(
    statement="The structured random projection approximately preserves the energy of the "
    "features.",
    source="PMR App. I",
    protocol="Squared norm of a random feature vector after its transform over that before, for "
    f"{DRAWS} draws (a quarter of them in quick runs), as mean ± standard deviation: widened from "
    f"l to {N} l, which is an isometry for l of {WHOLE} and leaves out rows for l of {OTHER}; and "
    f"narrowed from {N} l/2 to l for all of these.",
    threshold=f"the isometries to rounding, {ROUNDING:g}; the others on average, the mean within "
    f"{ERRORS} standard errors of 1",
    measure=measure,
    judge=judge,
    say=say,
)
