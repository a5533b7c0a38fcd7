"""The width of the interface under strong driving."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0), (10.0, 20.0, 50.0, 100.0)
# The narrowest modality of the paper's settings, magnified: a feature of it is the finest there is.
FEATURES = 4 * 128


def measure(bench: Bench) -> Found:
    """Width from 10 to 90 % over the length, (length, voltage), and its uncertainty."""
    width = np.empty((len(LENGTHS), len(VOLTAGES)))
    doubt = np.empty_like(width)
    for (i, length), (j, voltage) in product(enumerate(LENGTHS), enumerate(VOLTAGES)):
        one = solve_equilibrium(Cell.dimensionless(length, voltage))
        width[i, j] = one["interface_width"] / one["length"]
        doubt[i, j] = one["interface_uncertainty"] / one["length"]
    return {"width": width, "doubt": doubt}


def judge(found: Found) -> Verdict:
    """Holds where the transition takes more than a feature everywhere."""
    width = np.array(found["width"], dtype=float)
    if not (width > np.array(found["doubt"], dtype=float)).all():
        return fails("the transition is narrower than the solution can tell")
    if FEATURES * width.min() > 1:
        return holds()
    return fails(f"the transition takes only {FEATURES * width.min():.2g} of {FEATURES} features")


def say(found: Found) -> str:
    """Widths, and how they shrink."""
    width = np.array(found["width"], dtype=float)
    straight = math.log(9) / 2
    return (
        f"from 10 to 90 % it takes {width[:, 0].min():.1%} to {width[:, 0].max():.1%} of the cell "
        f"at {VOLTAGES[0]:g} kB T/e and {width[:, -1].min():.2%} to {width[:, -1].max():.2%} at "
        f"{VOLTAGES[-1]:g}, {FEATURES * width.min():.1f} of {FEATURES} features at least; width "
        f"times voltage goes to {width[:, -1].min() * VOLTAGES[-1]:.4f} (in a straight potential "
        f"ln(9)/2 = {straight:.4f})"
    )


def draw(found: Found) -> Figure:
    """Width over the voltage, a line a length."""
    lines = {f"{length:.3g} λ_D": row for length, row in zip(LENGTHS, found["width"], strict=True)}
    labels = ("voltage / (kB T/e)", "width from 10 to 90 % / l")
    return lines_figure(VOLTAGES, lines, labels, log=True)


CLAIM = Claim(
    statement="Under strong driving the boundary is a diffuse transition over a finite interval, "
    "not a sharp point.",
    source="PMR App. A.2",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths between electrodes at plus and "
    f"minus {listed(VOLTAGES)} kB T/e; the stretch over which the share of one kind among the "
    "ions goes from 10 to 90 %.",
    threshold=f"wider than its uncertainty and than one of {FEATURES} features (n = 4, 128 wide)",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
