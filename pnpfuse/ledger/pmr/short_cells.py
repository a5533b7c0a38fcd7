"""Profiles of cells far shorter than the Debye length."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_many

LENGTHS, VOLTAGES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01), (0.5, 1.0, 2.0, 5.0, 10.0)
STEP = 0.99
LEVEL = 1e-6  # more than separation is off by


def measure(bench: Bench) -> Found:
    """Separation over (voltage, length), and what an unscreened field makes of it."""
    cells = {"voltage": VOLTAGES, "length_ratio": LENGTHS}
    solved = solve_many(Cell.dimensionless(1, 1), cells, progress=False)
    # In a straight potential both species are exponentials: the share on their half of the cell.
    straight = 1 / (1 + np.exp(-np.array(VOLTAGES)))
    return {
        "lengths": LENGTHS,
        "voltages": VOLTAGES,
        "separation": solved["separation"].min("species").values,
        "straight": straight,
    }


def judge(found: Found) -> Verdict:
    """Holds where the shortest cell is separated at every voltage."""
    separation = np.array(found["separation"], dtype=float)
    if separation[:, -1].min() >= STEP:
        return holds()
    if not (np.diff(separation, axis=1) > -LEVEL).all():
        return fails("a shorter cell separates less")
    stuck = [u for u, row in zip(found["voltages"], separation, strict=True) if row[-1] < STEP]
    return fails(
        f"a shorter cell separates more, but at {' and '.join(f'{u:g}' for u in stuck)} kB T/e its "
        "profiles tend to exponentials in a straight potential and not to steps: only a voltage "
        "makes those"
    )


def say(found: Found) -> str:
    """The shortest cell at every voltage."""
    each = ", ".join(
        f"{100 * row[-1]:.2f} % at {voltage:g}"
        for voltage, row in zip(found["voltages"], found["separation"], strict=True)
    )
    short = np.array(found["separation"], dtype=float)[:, -1]
    off = np.abs(short - found["straight"]).max()
    return (
        f"at {found['lengths'][-1]:g} Debye lengths {each} kB T/e are on their own side, "
        f"1/(1 + exp(-U)) to {off:.0e}"
    )


def draw(found: Found) -> Figure:
    """Separation over the length, a line a voltage."""
    lines = {
        f"{voltage:g} kB T/e": row
        for voltage, row in zip(found["voltages"], found["separation"], strict=True)
    }
    return lines_figure(
        found["lengths"], lines, ("l / λ_D", "share of the ions on their own side"), log=True,
        mark=STEP, title="short cells; dashed: called a step",
    )  # fmt: skip


CLAIM = Claim(
    statement="In a cell far shorter than the Debye length the profiles approach step functions.",
    source="PMR App. E.2",
    protocol=f"Closed 1:1 cells from {LENGTHS[0]:g} down to {LENGTHS[-1]:g} Debye lengths between "
    f"electrodes at plus and minus {listed(VOLTAGES)} kB T/e; the share of the ions on their own "
    "side.",
    threshold=f"{STEP:.0%} on their own side in the shortest cell at every voltage",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
