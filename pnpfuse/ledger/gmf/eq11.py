"""GMF's equation for the concentrations, on cells that are at equilibrium."""

from __future__ import annotations

import numpy as np
from scipy.constants import N_A
from scipy.interpolate import make_interp_spline

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.5, 4.0, 30.0), (1.0, 5.0)
CLOSE = 1e-3  # of the largest term; second derivatives of a spline over the solver's nodes


def measure(bench: Bench) -> Found:
    """What the right hand sides leave over, of their largest term."""
    cells = [
        {"length": length, "voltage": voltage, **_left_over(Cell.dimensionless(length, voltage))}
        for length in LENGTHS
        for voltage in VOLTAGES
    ]
    return {"cells": cells}


def _left_over(cell: Cell) -> dict[str, float]:
    """The sum of the terms for each factor of the charge, over the largest of its terms."""
    solution = solve_equilibrium(cell)
    k, x = cell.constants, solution["x"].values
    z = solution["valence"].values
    c = solution["concentration"].transpose("species", "x").values  # 1/m^3
    slope = -solution["electric_field"].values
    beta = k.charge / (k.boltzmann * cell.temperature)
    charge = z @ c  # sum_j z_j c_j
    eps = k.permittivity * cell.mean_permittivity
    factors = {"e^2": k.charge, "e F": k.charge * N_A}
    found = {}
    for name, unit in factors.items():
        worst = 0.0
        for valence, row in zip(z, c, strict=True):
            curve = make_interp_spline(x, row, k=5)
            diffusion, drift = curve(x, 2), valence * beta * curve(x, 1) * slope
            source = -valence * beta * unit / eps * row * charge
            scale = max(np.abs(term).max() for term in (diffusion, drift, source))
            worst = max(worst, float(np.abs(diffusion + drift + source).max() / scale))
        found[name] = worst
    # How much larger the printed term is than the right one.
    return found | {"too large": factors["e F"] / factors["e^2"]}


def judge(found: Found) -> Verdict:
    """Holds where the printed factor leaves nothing over, corrected where e^2 does."""
    worst = {name: max(cell[name] for cell in found["cells"]) for name in ("e F", "e^2")}
    if worst["e F"] < CLOSE:
        return holds()
    if worst["e^2"] < CLOSE:
        return corrected(
            "the factor is e^2 for the numbers of ions that Eq. 10 counts; e F wants the charge "
            "in mol/m^3"
        )
    return fails(f"with e^2, too, {worst['e^2']:.1e} of the largest term is left")


def say(found: Found) -> str:
    """What both forms leave over."""
    cells = found["cells"]
    return (
        f"as printed, with rho = e sum z c of Eq. 10, {max(cell['e F'] for cell in cells):.0%} of "
        f"the largest term is left (its charge is {cells[0]['too large']:.2g} times too large), "
        f"with e^2 at most {max(cell['e^2'] for cell in cells):.0e}"
    )


CLAIM = Claim(
    statement="With Poisson's equation put in, the three terms c'', -(z e F / kB T eps0) c (z+ c+ "
    "+ z- c-) and (z e / kB T) c' phi' add up to nothing at equilibrium.",
    source="GMF Sec. 3.4, Eq. 11, and App. B, Eq. 29",
    protocol=f"Closed 1:1 cells at l/lambda_D of {LENGTHS} and electrodes at plus and minus "
    f"{VOLTAGES} kB T/e are solved; c' and c'' are those of a spline of degree 5 through the "
    "concentrations, phi' is the solved field. The three terms are added with F, the charge of a "
    "mole, and with e in its place, concentrations being numbers as in GMF Eq. 10.",
    threshold=f"holds if less than {CLOSE:g} of the largest term is left with F, corrected if so "
    "with e",
    measure=measure,
    judge=judge,
    say=say,
)
