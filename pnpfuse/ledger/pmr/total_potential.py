"""The total potential as external potential and twice integrated charge."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.poisson import ion_charge
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 1.0, 4.0, 30.0), (1.0, 5.0, 20.0)
CLOSE, EXACT = 0.01, 1e-8


def measure(bench: Bench) -> Found:
    """Distance of either formula from the electrode at x = l, over the applied drop."""
    found: Found = {"cells": [], "printed": [], "corrected": []}
    for length, voltage in product(LENGTHS, VOLTAGES):
        cell = Cell.dimensionless(length, voltage)
        one = solve_equilibrium(cell, order=2)
        x, h = one["x"].values, np.diff(one["x"].values)
        weights = 0.5 * (np.append(h, 0.0) + np.append(0.0, h))
        twice = ion_charge(one, cell) @ (weights * (cell.length - x)) / cell.constants.permittivity
        left, right = one["electrode_potential"].values
        printed = left + (right - left) - twice
        slope = -float(one["electric_field"][0]) - (right - left) / cell.length
        found["cells"].append([length, voltage])
        found["printed"].append(abs((printed - right) / (right - left)))
        found["corrected"].append(abs((printed + slope * cell.length - right) / (right - left)))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the formula meets the electrode, corrected where it does with a slope added."""
    if max(found["printed"]) < CLOSE:
        return holds()
    if max(found["corrected"]) > EXACT:
        return fails("the charge, integrated twice, does not give the potential")
    off = sorted({length for (length, _), gap in _gaps(found) if gap >= CLOSE})
    return corrected(
        "the ions' own field at x = 0 is left out: x times the slope of their potential there "
        f"has to be added, in cells of {listed(off)} Debye lengths"
    )


def say(found: Found) -> str:
    """The distances."""
    short = max(gap for (length, _), gap in _gaps(found) if length == LENGTHS[0])
    return (
        f"the formula misses the electrode at x = l by up to {max(found['printed']):.3g} times the "
        f"applied drop (at {LENGTHS[0]:.3f} Debye lengths by {short:.1%}), with the slope at x = 0 "
        f"by {max(found['corrected']):.0e}"
    )


def _gaps(found: Found) -> zip:
    return zip(found["cells"], found["printed"], strict=True)


CLAIM = Claim(
    statement="The total potential is that at x = 0 plus the external potential's change less the "
    "charge integrated twice from x = 0.",
    source="PMR App. G, after Eq. 22",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths at plus and minus "
    f"{listed(VOLTAGES)} kB T/e; the external potential is the straight line between the "
    "electrodes. The formula at x = l beside the electrode there, as printed and with the slope "
    "of the internal potential at x = 0.",
    threshold=f"the electrode met to {CLOSE:.0%} of the applied drop",
    measure=measure,
    judge=judge,
    say=say,
)
