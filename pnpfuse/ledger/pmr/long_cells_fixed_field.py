"""Separation over the length of the cell in a fixed field."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_many

LENGTHS = tuple(np.geomspace(0.1, 1000, 25).round(4).tolist())
FIELDS = (0.2, 0.5, 1.0, 2.0)  # kB T/e per Debye length
LEVEL = 1e-6  # more than separation is off by
STEP = 0.99


def measure(bench: Bench) -> Found:
    """Separation over (field, length)."""
    lengths = np.array(LENGTHS)
    rows = []
    for field in FIELDS:
        voltages = (field * lengths / 2).tolist()
        cells = {"cell": {"length_ratio": lengths.tolist(), "voltage": voltages}}
        solved = solve_many(Cell.dimensionless(1, 1), cells, progress=False)
        rows.append(solved["separation"].min("species").values)
    return {"lengths": lengths, "fields": FIELDS, "separation": rows}


def judge(found: Found) -> Verdict:
    """Holds where it never falls and the longest cells are separated."""
    separation = np.array(found["separation"], dtype=float)
    change = np.diff(separation, axis=1)
    if not (change > -LEVEL).all():
        return fails("in a fixed field, too, separation falls with the length")
    if separation[:, -1].min() >= STEP:
        return holds()
    least = found["fields"][int(separation[:, -1].argmin())]
    return fails(f"at {least:g} kB T/e per Debye length the longest cell is still mixed")


def say(found: Found) -> str:
    """The ends at every field."""
    ends = ", ".join(
        f"{100 * row[0]:.1f} % to {100 * row[-1]:.2f} % at {field:g}"
        for field, row in zip(found["fields"], found["separation"], strict=True)
    )
    return (
        f"from {found['lengths'][0]:g} to {found['lengths'][-1]:g} Debye lengths separation goes "
        f"from {ends} kB T/e per Debye length"
    )


def draw(found: Found) -> Figure:
    """Separation over the length, a line a field."""
    lines = {
        f"{field:g} kB T/e per λ_D": row
        for field, row in zip(found["fields"], found["separation"], strict=True)
    }
    return lines_figure(
        found["lengths"], lines, ("l / λ_D", "share of the ions on their own side"), log=True,
        mark=0.5, title="fixed field; dashed: mixed",
    )  # fmt: skip


CLAIM = Claim(
    statement="A longer cell separates the species more, up to step-like profiles where it is far "
    "longer than the screening length (tried in a fixed field).",
    source="PMR Sec. 3.2",
    protocol=f"Closed 1:1 cells from {LENGTHS[0]:g} to {LENGTHS[-1]:g} Debye lengths, their "
    f"voltage in proportion to the length, {listed(FIELDS)} kB T/e per Debye length between the "
    "electrodes; the share of the ions on their own side of the interface.",
    threshold=f"separation never falls by more than {LEVEL:g} from one length to the next and "
    f"reaches {STEP:.0%} in the longest cell of every field",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
