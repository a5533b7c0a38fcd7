"""The potential drops on either side of the interface."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed, span
from pnpfuse_solvers import Cell, solve_equilibrium

SALTS = {"1:1": ((1, -1), (1, 1)), "2:1": ((2, -1), (1, 2))}
LENGTHS, VOLTAGES = (0.118338, 4.0, 10.0), (2.0, 5.0, 10.0)
LIMIT = 0.01  # "about"


def measure(bench: Bench) -> Found:
    """Right sides over the drops: as printed, and corrected; first and second relation."""
    found: Found = {"printed": [[], []], "corrected": [[], []]}
    for given, length, voltage in product(SALTS.values(), LENGTHS, VOLTAGES):
        one = solve_equilibrium(Cell.dimensionless(length, voltage, *given))
        x, u, b = one["x"].values, one["reduced_potential"].values, float(one["interface"])
        at = np.array([0.0, b, x[-1]])
        potential = np.interp(at, x, u)
        cation, anion = (np.interp(at, x, row) for row in np.log(one["concentration"].values))
        plus, minus = one["valence"].values
        first, second = potential[0] - potential[1], potential[1] - potential[2]
        found["printed"][0].append((cation[0] - cation[1]) / plus / first)
        found["printed"][1].append((anion[0] - anion[2]) / minus / second)
        found["corrected"][0].append(-(cation[0] - cation[1]) / plus / first)
        found["corrected"][1].append(-(anion[1] - anion[2]) / minus / second)
    return found


def judge(found: Found) -> Verdict:
    """Holds where both printed sides are the drops, corrected where the corrected ones are."""
    printed, right = (np.array(found[name], dtype=float) for name in ("printed", "corrected"))
    if np.abs(printed - 1).max() < LIMIT:
        return holds()
    if np.abs(right - 1).max() < LIMIT:
        return corrected(
            "both signs, and the reference of the second: it is the concentration at b, not at "
            "x = 0"
        )
    return fails("the drops follow neither form")


def say(found: Found) -> str:
    """The ratios."""
    (first, second), right = found["printed"], np.array(found["corrected"], dtype=float)
    return (
        f"the printed right sides are {span(first)} times the first and {span(second)} times the "
        "second drop; with both signs changed and the anions at b as reference they are the drops "
        f"to {np.abs(right - 1).max():.0e}"
    )


CLAIM = Claim(
    statement="The drops are about phi(0) - phi(b) = kB T/(z+ e) ln(c+0/c+(b)) and phi(b) - "
    "phi(l) = kB T/(z- e) ln(c-0/c-(l)), c0 being concentrations at x = 0.",
    source="PMR App. G, last equations",
    protocol=f"Closed cells, salts {', '.join(SALTS)}, of {listed(LENGTHS)} Debye lengths at plus "
    f"and minus {listed(VOLTAGES)} kB T/e; right sides over left sides, from the solved profiles.",
    threshold=f"every ratio 1 to {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
