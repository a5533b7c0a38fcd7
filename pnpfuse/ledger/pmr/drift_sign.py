"""The sign of the drift."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed, span
from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0), (1.0, 5.0, 20.0)
SALTS = {"1:1": ((1, -1), (1, 1)), "2:1": ((2, -1), (1, 2))}
LIMIT = 1e-6
SETTLED, LENGTH, VOLTAGE = 20.0, 4.0, 3.0  # of a cell that comes to rest in time; l^2/D


def measure(bench: Bench) -> Found:
    """Largest sums of diffusion and drift over diffusion, with either sign of the drift."""
    solved = [
        solve_equilibrium(Cell.dimensionless(length, voltage, *salt))
        for length, voltage, salt in product(LENGTHS, VOLTAGES, SALTS.values())
    ]
    cell = Cell.dimensionless(LENGTH, VOLTAGE)
    last = SETTLED * cell.length**2 / cell.ions[0].diffusivity
    solved.append(solve_transient(cell, [last], order=2, rtol=1e-9).isel(time=-1))
    found: Found = {"printed": [], "corrected": []}
    for one in solved:
        c = one["concentration"].transpose("species", "x").values
        jump = np.diff(one["reduced_potential"].values)
        drive = np.diff(np.log(c), axis=1)
        mean = np.diff(c, axis=1) / np.where(drive == 0, 1, drive)  # c on the edge, logarithmic
        drift = mean * one["valence"].values[:, None] * jump
        diffusion = mean * drive
        scale = np.abs(diffusion).sum()
        # J h/D on every edge: E.2 as printed, and Eq. 14.
        found["printed"].append(float(np.abs(-diffusion + drift).sum() / scale))
        found["corrected"].append(float(np.abs(-diffusion - drift).sum() / scale))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the printed flux is none, corrected where that with the other sign is."""
    if max(found["printed"]) < LIMIT:
        return holds()
    if max(found["corrected"]) < LIMIT:
        return corrected("the drift is -D z e/(kB T) c grad phi, as in Eq. 2 and Eq. 14")
    return fails("the flux does not vanish at equilibrium with either sign")


def say(found: Found) -> str:
    """What is left of the flux."""
    return (
        f"the printed flux is {span(found['printed'])} times that of diffusion alone, with the "
        f"other sign it is at most {max(found['corrected']):.0e} of it, over "
        f"{len(found['printed'])} cells"
    )


CLAIM = Claim(
    statement="The fluxes -D grad c + D z e/(kB T) c grad phi vanish at equilibrium.",
    source="PMR App. E.2",
    protocol=f"Closed cells, salts {', '.join(SALTS)}, of {listed(LENGTHS)} Debye lengths at "
    f"{listed(VOLTAGES)} kB T/e at equilibrium, and one that comes to rest in time ({SETTLED:g} "
    "l^2/D); diffusion and drift on every edge of the mesh, added with either sign.",
    threshold=f"flux below {LIMIT:g} of diffusion alone",
    measure=measure,
    judge=judge,
    say=say,
)
