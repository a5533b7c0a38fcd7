"""Profiles at a large voltage."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0, 100.0), (5.0, 10.0, 20.0, 40.0, 80.0)
SHARE, WIDTH = 0.99, 0.1
SHOWN = 4.0  # Debye lengths, in the figure
DEPTH = 0.25  # of its side, where a step has half of the ions within 0.5


def measure(bench: Bench) -> Found:
    """Separation, width of the composition's step and depth of the layers, (length, voltage)."""
    found: Found = {"separation": [], "width": [], "depth": [], "composition": {}}
    found["x"] = np.linspace(0, 1, 201).round(3)
    for length in LENGTHS:
        solved = [solve_equilibrium(Cell.dimensionless(length, u), nodes=201) for u in VOLTAGES]
        share = [float(one["separation"].min()) for one in solved]
        found["separation"].append(np.nan_to_num(share, nan=0.0))
        width = [float(one["interface_width"] / one["length"]) for one in solved]
        found["width"].append(np.nan_to_num(width, nan=1.0))  # without an interface
        found["depth"].append([_depth(one) for one in solved])
        if length == SHOWN:
            rows = [_composition(one, found["x"]) for one in solved]
            found["composition"] = {f"{u:g} kB T/e": r for u, r in zip(VOLTAGES, rows, strict=True)}
    return found


def _composition(solution: xr.Dataset, at: np.ndarray) -> np.ndarray:
    """Share of the cations among the ions at positions over the length."""
    cation, anion = np.log(solution["concentration"].values)
    balance = np.interp(at, (solution["x"] / solution["length"]).values, cation - anion)
    return (0.5 * (1 + np.tanh(0.5 * balance))).round(4)


def _depth(solution: xr.Dataset) -> float:
    """Depth from the electrode within which half of the cations are, over half the length."""
    x = (solution["x"] / solution["length"]).values
    c = solution["concentration"].sel(species="cation").values
    amount = np.append(0.0, np.cumsum(0.5 * (c[1:] + c[:-1]) * np.diff(x)))
    return float(2 * (1 - np.interp(0.5 * amount[-1], amount, x)))


def judge(found: Found) -> Verdict:
    """Holds where composition and concentrations become steps."""
    separation, width = (np.array(found[k], dtype=float) for k in ("separation", "width"))
    if not (separation[:, -1].min() >= SHARE and width[:, -1].max() <= WIDTH):
        return fails("even the largest voltage does not separate the species")
    if min(row[-1] for row in found["depth"]) >= DEPTH:
        return holds()
    return corrected(
        "the share of the cations becomes a step; the concentrations themselves do not, they heap "
        "up in layers at the electrodes"
    )


def say(found: Found) -> str:
    """The largest voltage, over all lengths."""
    return (
        f"over all lengths at least {min(row[0] for row in found['separation']):.1%} "
        f"({VOLTAGES[0]:g} kB T/e) and {min(row[-1] for row in found['separation']):.2%} "
        f"({VOLTAGES[-1]:g} kB T/e) of a kind are on their own side; at the latter the step of the "
        "composition (10 to 90 %) takes at most "
        f"{max(row[-1] for row in found['width']):.1%} of the cell; half of the ions of a kind are "
        f"within {max(row[-1] for row in found['depth']):.1%} of their side (a step: 50 %)"
    )


def draw(found: Found) -> Figure:
    """The share of the cations over the cell."""
    return lines_figure(
        found["x"], found["composition"], ("x / l", "cations among the ions"), mark=0.5,
        title=f"composition over {SHOWN:g} Debye lengths",
    )  # fmt: skip


CLAIM = Claim(
    statement="At a sufficiently large voltage the profiles approach step functions, the species "
    "gathered at opposite ends.",
    source="PMR App. E.2",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths between electrodes at plus and "
    f"minus {listed(VOLTAGES)} kB T/e; the share of the ions on their own side, the stretch over "
    "which the share of the cations among the ions goes from 10 to 90 %, and how deep half of "
    "the cations reach into their half of the cell.",
    threshold=f"at the largest voltage {SHARE:.0%} on their own side and a stretch below {WIDTH:g} "
    f"of the cell; for steps of the concentrations a depth of {DEPTH:g} at least",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
