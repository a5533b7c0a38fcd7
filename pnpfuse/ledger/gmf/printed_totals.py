"""The totals of parameters and operations that GMF's tables print."""

from __future__ import annotations

import math

from pnpfuse.fusion import table9_flops, table9_parameters
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.counting import counted

N = 4
# {widths: (millions of parameters, billions of operations)} as printed
PRINTED = {(512, 512): (5.25, 0.01), (128, 128): (0.32, 0.00), (4096, 128): (119.21, 0.23)}
DIGITS = 2


def measure(bench: Bench) -> Found:
    """The totals by the readings there are."""
    real = [counted(widths) for widths in PRINTED]
    half_l = 1 / (2 * N)  # b = l/2 is this share of n l
    return {
        "printed": list(PRINTED.values()),
        "modules": [
            [(one["weights"] + one["biases"]) / 1e6, (one["products"] + one["biases"]) / 1e9]
            for one in real
        ],
        "b of n l": _totals(0.5),
        "b of l": _totals(half_l),
    }


def judge(found: Found) -> Verdict:
    """Holds where real modules have the printed totals; which reading has them otherwise."""
    printed = found["printed"]
    if _rounded(found["modules"]) == printed:
        return holds()
    if _truncated(found["b of n l"]) == printed:
        return corrected(
            "they follow from the formula of PMR's Table 9, which counts the biases of two maps "
            "by their inputs, with b as a share of n l (not of l, as Sec. 5.2 has it) and the "
            "digits cut off, not rounded"
        )
    return fails("no reading of the formula gives the printed totals")


def say(found: Found) -> str:
    """What is printed and what each reading gives."""
    millions, billions = (
        {name: " / ".join(f"{both[i]:.4f}" for both in found[name]) for name in found}
        for i in (0, 1)
    )
    return "; ".join(
        f"{unit}: Table 9 with b of n l {of['b of n l']}, with b of l {of['b of l']}, modules "
        f"{of['modules']}"
        for unit, of in (("million parameters", millions), ("billion operations", billions))
    )


def _totals(b: float) -> list[list[float]]:
    return [
        [table9_parameters(widths, N, b) / 1e6, table9_flops(widths, N, b) / 1e9]
        for widths in PRINTED
    ]


def _truncated(totals: list[list[float]]) -> list[list[float]]:
    scale = 10**DIGITS
    return [[math.floor(one * scale) / scale for one in both] for both in totals]


def _rounded(totals: list[list[float]]) -> list[list[float]]:
    return [[round(one, DIGITS) for one in both] for both in totals]


CLAIM = Claim(
    statement="With n = 4 and b = l/2 GMF has 5.25, 0.32 and 119.21 million parameters and takes "
    "0.01, 0.00 and 0.23 billion operations, for widths 512 and 512, 128 and 128, 4096 and 128.",
    source="GMF Tables 2 and 3, Sec. 5.2",
    protocol="The totals by the formula of PMR's Table 9, with b as a share of n l and of l, and "
    "those of real blocks of linear maps, counted by torch, rounded and cut off after "
    f"{DIGITS} digits.",
    threshold="every printed digit",
    measure=measure,
    judge=judge,
    say=say,
)
