"""The ratio of two binomial probabilities."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

WIDTHS, FACTOR = (2, 8, 64), 4
CHANCES = (1e-3, 1e-2, 0.1, 0.3)
ROUNDING = 1e-9


def measure(bench: Bench) -> Found:
    """Eq. 42 over Eq. 41, and what Eq. 43 makes of it."""
    rows = []
    for d in WIDTHS:
        for P in CHANCES:
            count = FACTOR * d
            ratio = float(np.exp(binom.logpmf(d, count + 1, P) - binom.logpmf(d, count, P)))
            growth = (count + 1) / (count + 1 - d)
            rows.append({"d": d, "P": P, "ratio": ratio, "printed": growth * P,
                         "corrected": growth * (1 - P)})  # fmt: skip
    return {"rows": rows}


def judge(found: Found) -> Verdict:
    """Holds where the printed ratio is right and above 1; corrected where 1 - P mends it."""
    off = {name: _off(found, name) for name in ("printed", "corrected")}
    above = all(row["ratio"] >= 1 for row in found["rows"])
    if off["printed"] < ROUNDING and above:
        return holds()
    if off["corrected"] < ROUNDING:
        return corrected(
            "the factor is 1 - P, not P; and that exactly d rows are dependent becomes likelier, "
            "if P < d/(n d + 1), says nothing for full rank"
        )
    return fails("neither P nor 1 - P gives the ratio of Eq. 42 to Eq. 41")


def _off(found: Found, name: str) -> float:
    return max(abs(row[name] / row["ratio"] - 1) for row in found["rows"])


def say(found: Found) -> str:
    """How far the printed ratio is off, and where the ratio is below 1."""
    rows = found["rows"]
    below = sum(row["ratio"] < 1 for row in rows)
    return (
        "with P the ratio is off by a factor of up to "
        f"{max(row['ratio'] / row['printed'] for row in rows):.0f}, with 1 - P to "
        f"{_off(found, 'corrected'):.0e}; it lies below 1 in {below} of {len(rows)} cases"
    )


CLAIM = Claim(
    statement="Adding a row multiplies the probability that exactly d of n d rows are dependent "
    "by (n d + 1)/(n d + 1 - d) P, which is about 1 + d/(n d + 1 - d), at least 1.",
    source="GMF App. D.1, Eq. 41 to 43",
    protocol=f"Both binomial probabilities for n = {FACTOR}, d = {WIDTHS} and P = {CHANCES}, "
    "their ratio beside the printed one and beside the one with 1 - P.",
    threshold=f"holds if the printed ratio is right to {ROUNDING:g} and never below 1; corrected "
    "if 1 - P in the place of P is right",
    measure=measure,
    judge=judge,
    say=say,
)
