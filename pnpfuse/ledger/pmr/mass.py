"""Conservation of the amounts."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.switching import SAID, switched_cells

LIMIT = 1e-12  # rounding of some hundred sums and steps


def measure(bench: Bench) -> Found:
    """Largest relative change of an amount, and the least concentration over its mean."""
    lost, least = [], []
    for run in switched_cells():
        c = run.result["concentration"].transpose("species", "time", "x").values
        amounts = 0.5 * (c[..., 1:] + c[..., :-1]) @ np.diff(run.result["x"].values)
        lost.append(float(np.abs(amounts / amounts[:, :1] - 1).max()))
        least.append(float((c.min(axis=(1, 2)) / amounts[:, 0] * run.cell.length).min()))
    return {"lost": lost, "least": least}


def judge(found: Found) -> Verdict:
    """Holds where nothing is lost and no concentration is negative."""
    if min(found["least"]) <= 0:
        return fails("a concentration is negative")
    worst = max(found["lost"])
    return holds() if worst < LIMIT else fails(f"an amount changes by {worst:.1e} of itself")


def say(found: Found) -> str:
    """The largest change."""
    return (
        f"amounts change by at most {max(found['lost']):.0e} of themselves over "
        f"{len(found['lost'])} runs; the least concentration is {min(found['least']):.0e} of its "
        "mean"
    )


CLAIM = Claim(
    statement="The amount of every species is kept while drift and diffusion redistribute it.",
    source="PMR Sec. 3.2, Eq. 2; App. D, Definition 1",
    protocol=f"{SAID}; the amount of every species is summed over the cell at every time.",
    threshold=f"no amount changes by more than {LIMIT:g} of itself, no concentration is negative",
    measure=measure,
    judge=judge,
    say=say,
)
