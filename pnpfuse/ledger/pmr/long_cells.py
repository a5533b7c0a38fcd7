"""Separation over the length of the cell at a fixed voltage."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_many

LENGTHS = tuple(np.geomspace(0.1, 200, 23).round(4).tolist())
VOLTAGES = (1.0, 2.0, 5.0, 10.0, 20.0)
LEVEL = 1e-6  # more than separation is off by


def measure(bench: Bench) -> Found:
    """Separation over (voltage, length)."""
    cells = {"voltage": VOLTAGES, "length_ratio": LENGTHS}
    solved = solve_many(Cell.dimensionless(1, 1), cells, progress=False)
    return {
        "lengths": LENGTHS,
        "voltages": VOLTAGES,
        "separation": solved["separation"].min("species").values,
    }


def judge(found: Found) -> Verdict:
    """Holds where it never falls and somewhere rises."""
    rising, falling = _steps(found)
    if rising and not falling:
        return holds()
    if not rising:
        return fails("at a fixed voltage a longer cell separates less, as ions screen the field")
    return fails("at a fixed voltage separation also falls with the length")


def say(found: Found) -> str:
    """The steps, and the ends."""
    rising, falling = _steps(found)
    ends = ", ".join(
        f"{100 * row[0]:.2f} % to {100 * row[-1]:.2f} % at {voltage:g} kB T/e"
        for voltage, row in zip(found["voltages"], found["separation"], strict=True)
    )
    steps = len(found["voltages"]) * (len(found["lengths"]) - 1)
    return (
        f"from one length to the next separation rises in {rising} and falls in {falling} of "
        f"{steps} steps; from {found['lengths'][0]:g} to {found['lengths'][-1]:g} Debye lengths it "
        f"goes from {ends}"
    )


def draw(found: Found) -> Figure:
    """Separation over the length, a line a voltage."""
    lines = {
        f"{voltage:g} kB T/e": row
        for voltage, row in zip(found["voltages"], found["separation"], strict=True)
    }
    return lines_figure(
        found["lengths"], lines, ("l / λ_D", "share of the ions on their own side"), log=True,
        mark=0.5, title="fixed voltage; dashed: mixed",
    )  # fmt: skip


def _steps(found: Found) -> tuple[int, int]:
    change = np.diff(np.array(found["separation"], dtype=float), axis=1)
    if not np.isfinite(change).all():
        raise ValueError("separation: a cell has none")
    return int((change > LEVEL).sum()), int((change < -LEVEL).sum())


CLAIM = Claim(
    statement="A longer cell separates the species more, up to step-like profiles where it is far "
    "longer than the screening length (tried at a fixed voltage).",
    source="PMR Sec. 3.2",
    protocol=f"Closed 1:1 cells from {LENGTHS[0]:g} to {LENGTHS[-1]:g} Debye lengths between "
    f"electrodes at plus and minus {listed(VOLTAGES)} kB T/e; the share of the ions on their own "
    "side of the interface (of a neutral bulk: of its middle).",
    threshold=f"separation rises somewhere and never falls by more than {LEVEL:g} from one length "
    "to the next",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
