"""Whether the interface is a point that a solution can tell."""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 10.0, 30.0, 60.0, 100.0, 200.0), (0.5, 2.0, 5.0, 10.0, 20.0)
LARGEST = 0.01  # of the cell: half the stretch over which the balance is below its error


def measure(bench: Bench) -> Found:
    """Half the stretch over which c+ and c- are equal to the solver's error, over the length."""
    found: Found = {"cells": [], "stretch": [], "x": {}, "balance": {}}
    for length, voltage in product(LENGTHS, VOLTAGES):
        one = solve_equilibrium(Cell.dimensionless(length, voltage))
        found["cells"].append([length, voltage])
        stretch = float(one["interface_uncertainty"] / one["length"])
        found["stretch"].append(0.5 if np.isnan(stretch) else stretch)
        if voltage == VOLTAGES[1] and length > 1:
            cation, anion = one["concentration"].values
            name = f"{length:g} λ_D"
            found["x"][name] = (one["x"] / one["length"]).values[::4].round(4)
            size = np.abs(cation - anion) / (cation + anion)
            found["balance"][name] = np.log10(np.maximum(size, 1e-17))[::4].round(2)
    return found


def judge(found: Found) -> Verdict:
    """Holds where every cell tells a point."""
    lost = _undetermined(found)
    if not lost:
        return holds()
    shortest: dict[float, list[float]] = {}  # {length: voltages at which it is the shortest}
    for voltage in sorted({u for _, u in lost}):
        shortest.setdefault(min(length for length, u in lost if u == voltage), []).append(voltage)
    said = ", ".join(f"{length:g} at {listed(u)} kB T/e" for length, u in shortest.items())
    return fails(
        "in a neutral bulk cations and anions are equal to below rounding over a stretch of up to "
        f"{2 * max(found['stretch']):.0%} of the cell, and no point of it is the interface; the "
        f"shortest such cells, in Debye lengths: {said}"
    )


def say(found: Found) -> str:
    """How many tell one."""
    lost = _undetermined(found)
    return (
        f"{len(found['cells']) - len(lost)} of {len(found['cells'])} cells have b to "
        f"{LARGEST:.0%} of the length; in the others the balance is below the solver's error over "
        f"up to {2 * max(found['stretch']):.0%} of the cell"
    )


def draw(found: Found) -> Figure:
    """Size of the balance over the cell."""
    labels = ("x / l", "log10 of |c+ - c-| / (c+ + c-)")
    return lines_figure(
        found["x"], found["balance"], labels, title=f"balance at {VOLTAGES[1]:g} kB T/e"
    )


def _undetermined(found: Found) -> list[list[float]]:
    pairs = zip(found["cells"], found["stretch"], strict=True)
    return [cell for cell, stretch in pairs if stretch > LARGEST]


CLAIM = Claim(
    statement="The species are divided at a point b where their concentrations are equal.",
    source="PMR App. E.2; App. G, Eq. 21",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths between electrodes at plus and "
    f"minus {listed(VOLTAGES)} kB T/e; the stretch over which the logarithm of c+/c- is below the "
    "error of the solution.",
    threshold=f"half that stretch below {LARGEST:.0%} of the cell in every one",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
