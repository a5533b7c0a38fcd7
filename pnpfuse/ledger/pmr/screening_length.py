"""The Debye length as the length over which a layer decays."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

LIMIT = 1e-3
VOLTAGE, LENGTH = 1e-3, 30.0  # linear, and both layers far apart
SALTS = {"1:1": ((1, -1), (1, 1)), "2:1": ((2, -1), (1, 2)), "3:2": ((3, -2), (2, 3))}


def measure(bench: Bench) -> Found:
    """Measured decay length over that of Eq. 20, and over that with one species in the sum."""
    found: Found = {"all_species": {}, "one_species": {}}
    for name, (valences, amounts) in SALTS.items():
        cell = Cell.dimensionless(LENGTH, VOLTAGE, valences, amounts, contact="reservoir")
        solution = solve_equilibrium(cell)
        x = solution["x"].values
        near = (x > 0) & (x < LENGTH / 6 * cell.debye_length)
        slope = np.polyfit(x[near], np.log(solution["reduced_potential"].values[near]), 1)[0]
        first = valences[0] ** 2 * amounts[0]
        strength = sum(z**2 * c for z, c in zip(valences, amounts, strict=True))
        found["all_species"][name] = -1 / (slope * cell.debye_length)
        found["one_species"][name] = found["all_species"][name] * (first / strength) ** 0.5
    return found


def judge(found: Found) -> Verdict:
    """Holds where layers decay over Eq. 20's length."""
    off = max(abs(ratio - 1) for ratio in found["all_species"].values())
    return holds() if off < LIMIT else fails(f"layers decay over another length, off by {off:.0%}")


def say(found: Found) -> str:
    """The ratios."""
    each = ", ".join(f"{name} {ratio:.5f}" for name, ratio in found["all_species"].items())
    alone = ", ".join(f"{ratio:.3f}" for ratio in found["one_species"].values())
    return f"decay length over Eq. 20's: {each}; with one species alone in the sum {alone}"


CLAIM = Claim(
    statement="The Debye length, with the sum over all species, is the length over which the field "
    "is screened.",
    source="PMR App. G, Eq. 20",
    protocol=f"Salts {', '.join(SALTS)} against a reservoir, {LENGTH:g} Debye lengths long, "
    f"electrodes at plus and minus {VOLTAGE:g} kB T/e; the decay of the potential is fitted over "
    "the first sixth of the cell.",
    threshold=f"decay length equal to Eq. 20's to {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
