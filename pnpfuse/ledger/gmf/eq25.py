"""GMF's potential as an integral of the charge."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

CELLS = ((0.118338, 5.0), (4.0, 5.0), (30.0, 5.0), (30.0, 20.0))  # length / lambda_D, kB T/e
DRAWN = 1
CLOSE = 1e-3  # of the drop over the cell; cubics over the solver's nodes are far closer


def measure(bench: Bench) -> Found:
    """Both forms in each cell, of the potential drop over it."""
    return {"cells": [_forms(length, voltage) for length, voltage in CELLS]}


def _forms(length: float, voltage: float) -> dict[str, object]:
    """The two integrals over the cell and how far they are from the potential, from U0 to -U0."""
    cell = Cell.dimensionless(length, voltage)
    solution = solve_equilibrium(cell)
    x, phi = solution["x"].values, solution["potential"].values
    # Amounts are held by the trapezoidal rule; what that makes too large is taken off again.
    c = solution["concentration"] / (1 + solution["concentration_excess"])
    rho = cell.constants.charge * (solution["valence"] * c).sum("species").values
    once = CubicSpline(x, rho).antiderivative()
    eps = cell.constants.permittivity * cell.mean_permittivity
    field = float(solution["electric_field"][0])
    exact = phi[0] - field * x - once.antiderivative()(x) / eps
    drop = phi[0] - phi[-1]
    # The best factor that an integral of the charge could have, units apart.
    line = once(x)
    factor = float(line @ (phi - phi[0]) / (line @ line))
    few = np.linspace(0, len(x) - 1, 101).astype(int)
    return {
        "length": length,
        "voltage": voltage,
        "once": float(np.abs(phi[0] + factor * line - phi).max() / drop),
        "ends": float((phi[0] + factor * line[-1] - phi[-1]) / drop),
        "twice": float(np.abs(exact - phi).max() / drop),
        "x": x[few] / cell.length,
        "potential": phi[few] / drop,
        "by one integral": (phi[0] + factor * line)[few] / drop,
        "by two": exact[few] / drop,
    }


def judge(found: Found) -> Verdict:
    """Holds where one integral gives the potential; corrected where two do."""
    once = max(cell["once"] for cell in found["cells"])
    twice = max(cell["twice"] for cell in found["cells"])
    if once < CLOSE:
        return holds()
    if twice < CLOSE:
        return corrected(
            "one integral of the charge is a field; the potential is U0 + phi'(0) x - (e/eps) int "
            "(x - y) (z+ c+ + z- c-) dy"
        )
    return fails(f"neither one integral nor two give the potential, to {twice:.1e}")


def say(found: Found) -> str:
    """How far both forms are from the potential."""
    cells = found["cells"]
    return (
        "one integral, with the best factor there is, misses the potential by up to "
        f"{max(cell['once'] for cell in cells):.0%} of the drop over the cell, for the cell is "
        "neutral and both electrodes come out alike (off by "
        f"{max(abs(cell['ends']) for cell in cells):.0%} at x = l); two integrals with eps miss "
        f"it by at most {max(cell['twice'] for cell in cells):.0e}"
    )


def draw(found: Found) -> Figure:
    """The potential and both forms in one cell."""
    figure = blank_figure(4.8, 3.4)
    axes = figure.subplots()
    cell = found["cells"][DRAWN]
    axes.plot(cell["x"], cell["potential"], label="solved")
    axes.plot(cell["x"], cell["by two"], "--", label="two integrals, with eps")
    axes.plot(cell["x"], cell["by one integral"], label="GMF Eq. 25, best factor")
    axes.set_xlabel("position / length")
    axes.set_ylabel("potential / drop over the cell")
    axes.set_title(f"l/λ_D = {cell['length']:g}, ±{cell['voltage']:g} kB T/e", fontsize="medium")
    axes.legend(fontsize="small")
    return figure


CLAIM = Claim(
    statement="The potential in the cell is U0 plus e times the integral of the ions' charge from "
    "the electrode.",
    source="GMF App. B, Eq. 25",
    protocol="Closed 1:1 cells of l/lambda_D and voltage in kB T/e "
    + "; ".join(f"{length:g}, {voltage:g}" for length, voltage in CELLS)
    + " are solved. Since the printed form lacks a factor of units, the integral is given the "
    "factor that fits the potential best; beside it Poisson's equation, integrated twice.",
    threshold=f"holds if one integral gives the potential to {CLOSE:g} of the drop over the cell, "
    "corrected if two do",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
