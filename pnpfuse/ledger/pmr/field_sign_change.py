"""The field at the interface."""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed, span
from pnpfuse_solvers import Cell, solve_equilibrium

SALTS = {"1:1": ((1, -1), (1, 1)), "2:1": ((2, -1), (1, 2))}
LENGTHS, VOLTAGES = (0.118338, 1.0, 4.0, 10.0), (2.0, 5.0, 20.0)
LEVEL = 1e-6  # more than the field between two nodes is off by
SHOWN = 2.0  # kB T/e, in the figure


def measure(bench: Bench) -> Found:
    """Changes of sign, the field at b over its least strength, and the net charge at b."""
    found: Found = {"changes": {}, "over_least": {}, "net": {}, "x": {}, "field": {}}
    for (salt, given), length, voltage in product(SALTS.items(), LENGTHS, VOLTAGES):
        one = solve_equilibrium(Cell.dimensionless(length, voltage, *given))
        b, x = float(one["interface"]), one["x"].values
        field = one["electric_field"].values
        at_b = abs(float(np.interp(b, x, field)))
        c = np.exp([np.interp(b, x, row) for row in np.log(one["concentration"].values)])
        z = one["valence"].values
        found["changes"].setdefault(salt, []).append(int((field[1:] * field[:-1] < 0).sum()))
        found["over_least"].setdefault(salt, []).append(at_b / np.abs(field).min())
        found["net"].setdefault(salt, []).append(abs(z @ c) / (np.abs(z) @ c))
        if salt == "1:1" and voltage == SHOWN:
            name = f"{length:.3g} λ_D"
            shown = slice(None, None, 8)  # of the nodes
            found["x"][name] = (x / x[-1])[shown].round(4)
            found["field"][name] = (field / np.abs(field).max())[shown].round(4)
    return found


def judge(found: Found) -> Verdict:
    """Holds where the field changes sign, corrected where its strength is least at b instead."""
    changes = [n for each in found["changes"].values() for n in each]
    if min(changes) > 0:
        return holds()
    if max(changes) > 0:
        return fails("the field changes sign in some cells only")
    if max(found["over_least"]["1:1"]) > 1 + LEVEL:
        return fails("the field neither changes sign nor is weakest at b")
    return corrected(
        "without net charge the field's slope is 0, not the field: it keeps its sign along the "
        "cell and is weakest at b, for ions of equal charge; for others the net charge at b is not "
        "even 0"
    )


def say(found: Found) -> str:
    """What the field and the charge do."""
    changes = sum(n > 0 for each in found["changes"].values() for n in each)
    cells = sum(map(len, found["changes"].values()))
    return (
        f"the field changes sign in {changes} of {cells} cells; at b it is as weak as anywhere, "
        f"to {max(found['over_least']['1:1']) - 1:.0e}, in 1:1 salts; net charge over all "
        f"charge at b: at most {max(found['net']['1:1']):.0e} in 1:1, "
        f"{span(found['net']['2:1'])} in 2:1 salts"
    )


def draw(found: Found) -> Figure:
    """The field over the cell."""
    return lines_figure(
        found["x"], found["field"], ("x / l", "field over its largest"), mark=0.0,
        title=f"electric field at plus and minus {SHOWN:g} kB T/e; b is in the middle",
    )  # fmt: skip


CLAIM = Claim(
    statement="Around b the net charge is zero, and therefore the electric field changes sign "
    "there.",
    source="PMR App. E.2",
    protocol=f"Closed cells, salts {', '.join(SALTS)}, of {listed(LENGTHS)} Debye lengths between "
    f"electrodes at plus and minus {listed(VOLTAGES)} kB T/e: changes of sign of the field along "
    "the cell, its strength at b over the least in the cell, and the net charge at b.",
    threshold="the field changes sign in every cell",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
