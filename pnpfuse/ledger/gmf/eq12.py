"""GMF's balance of potential and charge over the cell."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0), (1.0, 5.0, 20.0)
NEAR = 0.1  # what "approximately equal" may leave out, of the charge of all cations
ROUNDING = 1e-6


def measure(bench: Bench) -> Found:
    """What the equation leaves over in each cell, of the charge of all cations."""
    cells = [
        {"length": length, "voltage": voltage, **_left_over(Cell.dimensionless(length, voltage))}
        for length in LENGTHS
        for voltage in VOLTAGES
    ]
    return {"cells": cells}


def _left_over(cell: Cell) -> dict[str, float]:
    """The difference of both sides by each reading, the step of eps phi' for that of phi."""
    solution = solve_equilibrium(cell)
    left, whole = solution.pnp.gauss(), solution.pnp.gauss(at=cell.length)
    charge = float(whole.anions - whole.charge)  # of all cations
    step, anions = float(left.displacement), float(left.anions)  # anions: e int |z-| c- > 0
    net = -float(whole.charge)
    return {
        # z- is negative as in Eq. 10, so that z+ c+ - z- c- adds the two kinds up.
        "signed": abs((step + anions) - (charge + float(whole.anions))) / charge,
        # z- as an amount: the right side is the net charge.
        "amounts": abs((step - anions) - net) / charge,
        "exact": abs(step - float(left.charge)) / charge,
    }


def judge(found: Found) -> Verdict:
    """Holds where the printed terms balance in every cell; corrected where Gauss's law does."""
    exact = max(cell["exact"] for cell in found["cells"])
    if exact > ROUNDING:
        return fails(f"Gauss's law itself leaves {exact:.1e} over")
    if _worst(found["cells"], "signed") < NEAR:
        return holds()
    return corrected(
        "the step of eps phi' has to stand for that of phi, and the cations before b belong to "
        "it: without them it balances only as far as the ions are separated"
    )


def _worst(cells: list[dict[str, float]], name: str) -> float:
    return max(cell[name] for cell in cells)


def say(found: Found) -> str:
    """What is left over by each reading."""
    cells = found["cells"]
    said = ", ".join(
        f"{_worst([c for c in cells if c['voltage'] == voltage], 'signed'):.2g} at {voltage:g} kB "
        "T/e"
        for voltage in VOLTAGES
    )
    return (
        f"left over, at most, in charges of all cations: {said}; with z- as an amount "
        f"{_worst(cells, 'amounts'):.2g}; by Gauss's law with the cations "
        f"{_worst(cells, 'exact'):.0e}"
    )


CLAIM = Claim(
    statement="At equilibrium the potential drop from 0 to b, less the anions' charge there, "
    "equals the charge z+ c+ - z- c- of the whole cell.",
    source="GMF Sec. 3.4, Eq. 12",
    protocol=f"Closed 1:1 cells at l/lambda_D of {LENGTHS} and electrodes at plus and minus "
    f"{VOLTAGES} kB T/e. A potential is no charge, so the step of eps dphi/dx between 0 and b "
    "stands in its place; z- is once negative, as in GMF Eq. 10, and once the amount of the "
    "charge. Both are compared with Gauss's law.",
    threshold=f"holds if less than {NEAR:.0%} of the cations' charge is left over with the signs "
    f"of Eq. 10; otherwise corrected if Gauss's law leaves less than {ROUNDING:g}",
    measure=measure,
    judge=judge,
    say=say,
)
