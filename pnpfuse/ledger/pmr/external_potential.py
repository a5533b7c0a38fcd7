"""What a change of the external potential does, and how fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient

LENGTHS, VOLTAGE = (0.118338, 4.0, 30.0), 5.0
SAME = 1e-3
INSTANT = 0.01  # l^2/D, the time in which ions diffuse through the cell


def measure(bench: Bench) -> Found:
    """Separation over time after the switch, its end beside the equilibrium, and the way back."""
    times = np.append(0.0, np.geomspace(1e-5, 20.0, 120))
    found: Found = {"time": times, "separation": [], "equilibrium": [], "returned": []}
    for length in LENGTHS:
        cell = Cell.dimensionless(length, VOLTAGE)
        clock: dict[str, Any] = {"order": 2, "nodes": 201}
        at = (times * cell.length**2 / cell.ions[0].diffusivity).tolist()
        on = solve_transient(cell, at, **clock)
        found["separation"].append(_right_half(on))
        found["equilibrium"].append(float(_right_half(solve_equilibrium(cell, order=2))))
        off = solve_transient(cell.at_voltage(0.0), at, initial=on, **clock).isel(time=-1)
        given = cell.ions[0].concentration
        found["returned"].append(float(np.abs(off["concentration"] / given - 1).max()))
    return found


def _right_half(solution: xr.Dataset) -> np.ndarray:
    """Share of the cations in the half at x = l."""
    c, x = solution["concentration"].sel(species="cation"), solution["x"].values
    rows = np.atleast_2d(c.transpose(..., "x").values)
    steps = 0.5 * (rows[:, 1:] + rows[:, :-1]) * np.diff(x)
    amount = np.append(np.zeros((len(rows), 1)), np.cumsum(steps, axis=1), axis=1)
    share = [1 - np.interp(0.5 * x[-1], x, row) / row[-1] for row in amount]
    return np.array(share).squeeze()


def judge(found: Found) -> Verdict:
    """Holds where the profiles change at once, corrected where they take their time."""
    ends = [row[-1] for row in found["separation"]]
    reached = max(abs(end - s) for end, s in zip(ends, found["equilibrium"], strict=True)) < SAME
    if not reached or max(found["returned"]) > SAME:
        return fails("the profiles do not follow the potential there and back")
    if max(_delays(found)) < INSTANT:
        return holds()
    return corrected("the same species are reshaped, there and back, but not instantly: ions move")


def say(found: Found) -> str:
    """Delays and ends."""
    each = ", ".join(
        f"{delay:.2g} at {length:.3g}"
        for delay, length in zip(_delays(found), LENGTHS, strict=True)
    )
    return (
        f"90 % of the change is made after {each} Debye lengths, in units of l^2/D; put back to 0 "
        f"V the concentrations are even again to {max(found['returned']):.0e}"
    )


def draw(found: Found) -> Figure:
    """Separation over time."""
    rows = zip(LENGTHS, found["separation"], strict=True)
    lines = {f"{length:.3g} λ_D": row[1:] for length, row in rows}
    return lines_figure(
        found["time"][1:], lines, ("time / (l²/D)", "cations in their half of the cell"), log=True,
        mark=0.5, title=f"after a switch to plus and minus {VOLTAGE:g} kB T/e",
    )  # fmt: skip


def _delays(found: Found) -> list[float]:
    """Times after which 90 % of the change is made."""
    delays = []
    for row in found["separation"]:
        share = (np.array(row) - row[0]) / (row[-1] - row[0])
        delays.append(found["time"][int(np.argmax(share >= 0.9))])
    return delays


CLAIM = Claim(
    statement="A change of the external potential reshapes the profiles instantly, the species "
    "being the same.",
    source="PMR App. E.3, claim 3",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths, electrodes switched to plus "
    f"and minus {VOLTAGE:g} kB T/e and, at rest, back to 0: the share of the cations in their "
    "half of the cell over time, its end beside the equilibrium, and what is left after the way "
    "back.",
    threshold=f"end and return to {SAME:g}, and 90 % of the change within {INSTANT:g} l^2/D",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
