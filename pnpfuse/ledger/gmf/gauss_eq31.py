"""GMF's two sides of the boundary against Gauss's law."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

# Length over lambda_D, electrodes at plus and minus so many kB T/e, valences, concentrations.
CELLS = (
    (0.118338, 1.0, (1, -1), (1, 1)),
    (0.118338, 20.0, (1, -1), (1, 1)),
    (4.0, 5.0, (1, -1), (1, 1)),
    (30.0, 5.0, (1, -1), (1, 1)),
    (30.0, 20.0, (1, -1), (1, 1)),
    (4.0, 20.0, (1, -0.375), (1, 8 / 3)),
)
SCALE = 2.0
NEAR = 0.1  # what "approximately equal" may leave out
ROUNDING = 1e-6  # of integrals of cubics over the solver's nodes


def measure(bench: Bench) -> Found:
    """All terms of the chain in each cell, and in one cell at two scales."""
    cells = [_sides(Cell.dimensionless(*cell)) for cell in CELLS]
    length, voltage, valences, _ = CELLS[2]
    # Amounts of 1 / SCALE^2 make the Debye length SCALE times as long: the same cell, but larger.
    larger = _sides(Cell.dimensionless(length, voltage, valences, (SCALE**-2,) * 2))
    ratios = [side["potential, left"] / side["anions, left"] for side in (cells[2], larger)]
    return {"cells": cells, "scaled": ratios[1] / ratios[0]}


def _sides(cell: Cell) -> dict[str, float]:
    """Potential differences [V] and charges [C/m^2] on both sides of the interface."""
    solution = solve_equilibrium(cell)
    left, whole = solution.pnp.gauss(), solution.pnp.gauss(at=cell.length)
    phi = solution["potential"].values
    at_b = float(np.interp(float(left.position), solution["x"].values, phi))
    cations = (whole.anions - whole.charge) - (left.anions - left.charge)
    return {
        "potential, left": float(phi[0] - at_b),
        "potential, right": float(at_b - phi[-1]),
        "anions, left": float(left.anions),
        "cations, right": float(cations),
        "gap, exact": float(left.gap),
        "gap, anions alone": float(left.anions_gap),
    }


def judge(found: Found) -> Verdict:
    """Holds where one factor takes potentials to charges and nothing is dropped that matters."""
    cells = found["cells"]
    exact = max(cell["gap, exact"] for cell in cells)
    dropped = max(cell["gap, anions alone"] for cell in cells)
    if exact > ROUNDING:
        return fails(f"Gauss's law itself is violated by {exact:.1e}")
    if abs(found["scaled"] - 1) < NEAR and dropped < NEAR and _uneven(found) < NEAR:
        return holds()
    return corrected(
        "the charge between 0 and b is the step of eps dphi/dx, not of phi, and the cations there "
        "count: [eps phi']_0^b = -e int_0^b (z+ c+ + z- c-)"
    )


def _uneven(found: Found) -> float:
    """How much the potential drops of the two sides differ at most, over the larger."""
    sides = [(cell["potential, left"], cell["potential, right"]) for cell in found["cells"]]
    return max(abs(left - right) / max(left, right) for left, right in sides)


def say(found: Found) -> str:
    """What each step of the chain leaves out."""
    cells = found["cells"]
    return (
        f"a cell {SCALE:g} times as large, else the same, has {found['scaled']:.3f} times the "
        "potential to a charge; without the cations up to "
        f"{max(cell['gap, anions alone'] for cell in cells):.0%} of the charge between 0 and b is "
        f"missing; the potential drops of the two sides differ by up to {_uneven(found):.0%}; "
        "Gauss's law with both ions and the field is met to "
        f"{max(cell['gap, exact'] for cell in cells):.0e}"
    )


CLAIM = Claim(
    statement="At equilibrium the potential drop from the positive electrode to b is the charge "
    "of the anions there, and equals the drop on the other side and the charge of the cations "
    "there.",
    source="GMF App. B, Eq. 31",
    protocol="Closed cells of l/lambda_D, voltage in kB T/e and valences "
    + "; ".join(f"{length:g}, {voltage:g}, {z[0]:g}:{z[1]:g}" for length, voltage, z, _ in CELLS)
    + f" are solved, and all terms taken at the interface; one of them also {SCALE:g} times as "
    "large at the same l/lambda_D. Gauss's law with the field and both ions is taken beside it.",
    threshold="holds if the ratio of potential to charge is the same at both scales, and dropped "
    f"cations and the difference of the two sides' potentials stay below {NEAR:.0%}; otherwise "
    f"corrected if Gauss's law is met to {ROUNDING:g}",
    measure=measure,
    judge=judge,
    say=say,
)
