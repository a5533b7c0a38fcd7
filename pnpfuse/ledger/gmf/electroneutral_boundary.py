"""GMF's neutral region around the boundary."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0, 100.0), (5.0, 20.0)
NEUTRAL = 0.1  # net charge over the charge of both kinds, what "about zero" may be
REGION = 0.1  # of the cell, what is a region and no point
POINTS = 20001  # odd: the middle is one
APART = 0.9  # share of either kind on its own side


def measure(bench: Bench) -> Found:
    """Net charge at b, and how far around it the ions are neutral."""
    cells = [_around(length, voltage) for length in LENGTHS for voltage in VOLTAGES]
    return {"cells": cells}


def _around(length: float, voltage: float) -> dict[str, float]:
    """The charge at the middle of the cell, b by symmetry, and the neutral stretch around it."""
    cell = Cell.dimensionless(length, voltage)
    solution = solve_equilibrium(cell)
    charges = (solution["valence"] * solution["concentration"]).transpose("species", "x").values
    x = np.linspace(0, 1, POINTS)
    # Logarithms of concentrations are smooth where these themselves are steep.
    fine = [
        np.sign(row[0]) * np.exp(np.interp(x, solution["x"] / cell.length, np.log(np.abs(row))))
        for row in charges
    ]
    net = np.abs(np.sum(fine, 0)) / np.abs(fine).sum(0)
    left, right = x[(x < 0.5) & (net > NEUTRAL)], x[(x > 0.5) & (net > NEUTRAL)]
    stretch = (right.min() if right.size else 1.0) - (left.max() if left.size else 0.0)
    return {
        "length": length,
        "voltage": voltage,
        "charge at b": float(net[POINTS // 2]),
        "stretch": float(stretch),
        "separation": float(solution["separation"].min()),
    }


def judge(found: Found) -> Verdict:
    """Holds where a neutral region lies around b in cells that separate their ions, too."""
    cells = found["cells"]
    if max(cell["charge at b"] for cell in cells) > NEUTRAL:
        return fails("the ions are not neutral at b")
    points = [cell for cell in cells if cell["stretch"] < REGION]
    if not points:
        return holds()
    if all(cell["separation"] > APART for cell in points):
        return corrected(
            "the charge vanishes at b, but over a region only in cells with a bulk between "
            "screened electrodes; where the ions part at b it is a point, and the reduced "
            "equation holds there"
        )
    return fails("b is the only neutral point even where the ions are not separated")


def say(found: Found) -> str:
    """The charge at b, and the neutral stretch with and without separation."""
    cells = found["cells"]
    said = "; ".join(
        f"{cell['stretch']:.1%} at {cell['length']:.3g} λ_D, ±{cell['voltage']:g} kB T/e "
        f"({cell['separation']:.0%} of the ions apart)"
        for cell in (min(cells, key=_stretch), max(cells, key=_stretch))
    )
    most = max(cell["charge at b"] for cell in cells)
    return f"net charge at b at most {most:.0e}; the neutral part of the cell is {said}"


def _stretch(cell: dict[str, float]) -> float:
    return cell["stretch"]


CLAIM = Claim(
    statement="Around the boundary b the net charge is about zero over a region, so that "
    "Poisson's term drops out of the equation for the concentrations there.",
    source="GMF App. B, Eq. 30",
    protocol=f"Closed 1:1 cells at l/lambda_D of {LENGTHS} and electrodes at plus and minus "
    f"{VOLTAGES} kB T/e, where b is the middle by symmetry. The net charge, over the charge of "
    "both kinds together, is taken at b, and the stretch around b in which it stays below "
    f"{NEUTRAL:g}, over the cell's length.",
    threshold=f"holds if in every cell the charge at b is below {NEUTRAL:g} and the stretch is "
    f"longer than {REGION:g} of the cell; corrected if the stretch is shorter only in cells that "
    f"separate more than {APART:.0%} of their ions",
    measure=measure,
    judge=judge,
    say=say,
)
