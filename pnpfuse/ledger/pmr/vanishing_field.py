"""Whether the field vanishes at equilibrium."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.wording import listed, span
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0, 100.0), (1.0, 5.0, 20.0)
LIMIT = 0.01


def measure(bench: Bench) -> Found:
    """The field over the applied one, in the middle and at its strongest."""
    found: Found = {"cells": [], "middle": [], "strongest": []}
    for length, voltage in product(LENGTHS, VOLTAGES):
        one = solve_equilibrium(Cell.dimensionless(length, voltage))
        drop = np.diff(one["electrode_potential"].values)[0]
        applied = abs(drop / float(one["length"]))
        field = np.abs(one["electric_field"].values) / applied
        found["cells"].append([length, voltage])
        found["middle"].append(np.interp(0.5, (one["x"] / one["length"]).values, field))
        found["strongest"].append(field.max())
    return found


def judge(found: Found) -> Verdict:
    """Holds where no cell has a field left."""
    if max(found["strongest"]) < LIMIT:
        return holds()
    screened = [
        cell for cell, middle in zip(found["cells"], found["middle"], strict=True)
        if middle < LIMIT
    ]  # fmt: skip
    if not screened:
        return fails("the field remains along the whole cell")
    of: dict[float, list[float]] = {}
    for length, voltage in screened:
        of.setdefault(length, []).append(voltage)
    said = "; ".join(f"{length:g} Debye lengths at {listed(u)} kB T/e" for length, u in of.items())
    return fails(
        "diffusion balances the field instead; it vanishes only in the bulk of long cells at low "
        f"voltages ({said}), and is the stronger at their electrodes"
    )


def say(found: Found) -> str:
    """The fields."""
    return (
        f"the field is {min(found['middle']):.0e} to {max(found['middle']):.3g} times the applied "
        f"one in the middle, and {span(found['strongest'])} times at the electrodes"
    )


CLAIM = Claim(
    statement="The flux moves charges until the local electric field vanishes.",
    source="PMR App. E.3, claim 1",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths at {listed(VOLTAGES)} kB T/e "
    "at equilibrium; the field over the one that the electrodes apply, in the middle of the cell "
    "and where it is strongest.",
    threshold=f"field below {LIMIT:g} of the applied one everywhere",
    measure=measure,
    judge=judge,
    say=say,
)
