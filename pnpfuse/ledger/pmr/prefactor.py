"""The prefactor of the dimensionless Poisson-Boltzmann equation."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.poisson import poisson_residual
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

SALTS = {"1:1": ((1, -1), (1, 1)), "2:1": ((2, -1), (1, 2)), "3:2": ((3, -2), (2, 3))}
LENGTHS, VOLTAGES = (1.0, 4.0, 30.0), (0.5, 3.0)
LIMIT = 1e-8


def measure(bench: Bench) -> Found:
    """Residuals of Eq. 20 with the valence twice, as printed, and once."""
    found: Found = {"twice": {}, "once": {}}
    for name, (valences, amounts) in SALTS.items():
        z, share = np.array(valences, dtype=float), np.array(amounts, dtype=float)
        share /= (z**2 * share).sum()
        for length, voltage in product(LENGTHS, VOLTAGES):
            cell = Cell.dimensionless(length, voltage, valences, amounts, contact="reservoir")
            solution = solve_equilibrium(cell, order=2)
            boltzmann = np.exp(-np.outer(z, solution["reduced_potential"].values))
            # u'' = -source/lambda_D^2, as a charge density [C/m^3].
            unit = cell.constants.permittivity * cell.thermal_voltage / cell.debye_length**2
            for times, power in (("once", 1), ("twice", 2)):
                source = unit * ((z**power * share) @ boltzmann)
                residual = poisson_residual(solution, cell, source)
                found[times].setdefault(name, []).append(residual)
    return found


def judge(found: Found) -> Verdict:
    """Holds where the printed equation is fulfilled, corrected where the other one is."""
    if _largest(found["twice"]) < LIMIT:
        return holds()
    if _largest(found["once"]) < LIMIT:
        return corrected("the prefactor has one valence too many: z_i c_i0 exp(-z_i u), z_i once")
    return fails("the solution fulfils neither form")


def say(found: Found) -> str:
    """The residuals of both."""
    return (
        f"solutions fulfil the equation with the valence once to {_largest(found['once']):.0e} of "
        "the largest displacement in a box of the mesh, and miss the printed one by up to "
        f"{_largest(found['twice']):.2g} times it; for a 1:1 salt its right side is "
        "even in u, not odd"
    )


def _largest(residuals: dict[str, list[float]]) -> float:
    return max(max(each) for each in residuals.values())


CLAIM = Claim(
    statement="The dimensionless equation weighs each exponential with its valence twice, once in "
    "the prefactor and once behind it.",
    source="PMR App. G, Eq. 20",
    protocol=f"Salts {', '.join(SALTS)} against a reservoir, {listed(LENGTHS)} Debye lengths at "
    f"{listed(VOLTAGES)} kB T/e, where concentrations are given ones times exp(-z u); the "
    "residual of either form in the boxes of the mesh over the largest displacement.",
    threshold=f"residual below {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
