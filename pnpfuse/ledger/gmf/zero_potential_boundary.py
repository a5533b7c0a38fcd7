"""GMF's boundary as the place of zero potential."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0), (5.0, 20.0)
RATIOS = (1.0, 0.75, 0.375)  # valence of the anions, the cations having 1; neutral as a whole
CLOSE = 1e-6  # of U0: interpolation between the solver's nodes


def measure(bench: Bench) -> Found:
    """The potential at b in every cell that has one, over U0."""
    cells = []
    for ratio in RATIOS:
        for length in LENGTHS:
            for voltage in VOLTAGES:
                cell = Cell.dimensionless(length, voltage, (1, -ratio), (1, 1 / ratio))
                solution = solve_equilibrium(cell)
                b = float(solution["interface"])
                if np.isfinite(b):
                    curve = CubicSpline(solution["x"], solution["reduced_potential"])
                    cells.append(
                        {
                            "ratio": ratio,
                            "length": length,
                            "voltage": voltage,
                            "b": b / cell.length,
                            "potential": float(curve(b)) / voltage,
                        }
                    )
    return {"cells": cells}


def judge(found: Found) -> Verdict:
    """Holds where b is at zero in all cells; corrected where it is for equal charges alone."""
    equal = _largest(found, equal=True)
    if equal > CLOSE:
        return fails(f"even with equal charges the potential at b is {equal:.1e} of U0")
    if _largest(found, equal=False) < CLOSE:
        return holds()
    return corrected(
        "for ions of equal and opposite charge; else phi(b) is (kB T/e) ln(c+0/c-0)/(z+ - z-), "
        "counted from where the concentrations are c0"
    )


def _largest(found: Found, equal: bool) -> float:
    cells = [cell for cell in found["cells"] if (cell["ratio"] == 1.0) == equal]
    return max((abs(cell["potential"]) for cell in cells), default=0.0)


def say(found: Found) -> str:
    """The potential at b with equal charges and with others."""
    most = max(found["cells"], key=lambda cell: abs(cell["potential"]))
    return (
        f"with valences 1:-1 at most {_largest(found, equal=True):.0e} of U0; with "
        f"1:-{most['ratio']:g} up to {most['potential']:.2f} U0 (b = {most['b']:.3f} l, "
        f"{most['length']:.3g} λ_D, {most['voltage']:g} kB T/e)"
    )


CLAIM = Claim(
    statement="With electrodes at U0 and -U0 the boundary b is where the potential is zero.",
    source="GMF App. B, Fig. 5",
    protocol=f"Closed neutral cells with valences 1 and minus {RATIOS}, l/lambda_D of {LENGTHS}, "
    f"electrodes at plus and minus {VOLTAGES} kB T/e; the potential is taken at the interface, "
    "where both kinds are equally many. Cells without one are left out.",
    threshold=f"holds if it is below {CLOSE:g} U0 in all cells, corrected if it is so for "
    "valences 1 and -1",
    measure=measure,
    judge=judge,
    say=say,
)
