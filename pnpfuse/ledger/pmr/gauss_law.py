"""Gauss's law with the anions alone."""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (2.0, 4.0, 10.0, 30.0), (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
EXACT = 1e-4  # what cubics between the nodes leave
CLOSE = 0.01


def measure(bench: Bench) -> Found:
    """Both sides on [0, b], with all ions and with the anions alone."""
    found: Found = {"cells": [], "left": [], "exact": [], "anions": [], "separation": []}
    for length, voltage in product(LENGTHS, VOLTAGES):
        solution = solve_equilibrium(Cell.dimensionless(length, voltage))
        if np.isnan(solution["interface"]):
            continue
        sides = solution.pnp.gauss()
        found["cells"].append([length, voltage])
        found["separation"].append(float(solution["separation"].min()))
        for name, side in (("left", "displacement"), ("exact", "charge"), ("anions", "anions")):
            found[name].append(float(sides[side]))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the anions alone make the right side, corrected where all ions do."""
    if max(_gaps(found, "exact")) > EXACT:
        return fails("Gauss's law is violated even with all ions")
    gaps = _gaps(found, "anions")
    if max(gaps) <= CLOSE:
        return holds()
    apart = [s for s, gap in zip(found["separation"], gaps, strict=True) if gap <= CLOSE]
    least = f"where {min(apart):.1%} of the ions are on their own side" if apart else "nowhere"
    return corrected(
        f"the cations between electrode and b belong into the integral; without them both sides "
        f"agree to {CLOSE:.0%} only {least}"
    )


def say(found: Found) -> str:
    """The gaps."""
    gaps = _gaps(found, "anions")
    close = sum(gap <= CLOSE for gap in gaps)
    worst = found["cells"][int(np.argmax(gaps))]
    return (
        f"with all ions both sides agree to {max(_gaps(found, 'exact')):.0e} in {len(gaps)} "
        f"cells; with the anions alone to {CLOSE:.0%} in {close} of them, and they differ by up "
        f"to {max(gaps):.3g} times the left side, at {worst[0]:g} Debye lengths and {worst[1]:g} "
        "kB T/e"
    )


def draw(found: Found) -> Figure:
    """Right sides over the left one, over the voltage, a line a length."""
    x, lines = {}, {}
    for length in sorted({length for length, _ in found["cells"]}):
        of = [i for i, (one, _) in enumerate(found["cells"]) if one == length]
        name = f"anions alone, {length:g} λ_D"
        x[name] = [found["cells"][i][1] for i in of]
        lines[name] = [found["anions"][i] / found["left"][i] for i in of]
    return lines_figure(
        x, lines, ("voltage / (kB T/e)", "right side over left side"), log=True, mark=1.0,
        title="Eq. 3; dashed: Gauss's law with all ions",
    )  # fmt: skip


def _gaps(found: Found, side: str) -> list[float]:
    """Distance of a right side from the left one over the left one."""
    return [
        abs(one / left - 1) for one, left in zip(found[side], found["left"], strict=True)
    ]  # fmt: skip


CLAIM = Claim(
    statement="In cells longer than the Debye length the slope of the potential changes from the "
    "electrode to b by about the charge of the anions between them alone.",
    source="PMR Sec. 3.2, Eq. 3; App. E.2",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths between electrodes at plus (x "
    f"= 0) and minus {listed(VOLTAGES)} kB T/e; left side from the potential, right side from the "
    "concentrations, with the anions alone and with all ions, wherever b is determined.",
    threshold=f"both sides agree to {CLOSE:.0%} in all cells (all ions: to {EXACT:g})",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
