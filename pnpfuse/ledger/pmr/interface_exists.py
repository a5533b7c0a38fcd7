"""Existence of the interface."""

from __future__ import annotations

from itertools import product

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (0.118338, 1.0, 4.0, 30.0, 200.0), (0.5, 2.0, 8.0, 20.0)
EQUAL = "closed, equal amounts"
# {family: (contact, valences, amounts, potentials of the ends over the voltage)}
FAMILIES = {
    EQUAL: ("closed", (1, -1), (1, 1), (1.0, -1.0)),
    f"{EQUAL}, both ends positive": ("closed", (1, -1), (1, 1), (1.0, 0.5)),
    "closed, twice as many anions": ("closed", (1, -1), (1, 2), (1.0, -1.0)),
    "closed, 8 anions of charge 1/8 a cation": ("closed", (1, -1 / 8), (1, 8), (1.0, -1.0)),
    "closed, 2:1": ("closed", (2, -1), (1, 2), (1.0, -1.0)),
    "reservoir": ("reservoir", (1, -1), (1, 1), (1.0, -1.0)),
    "reservoir, both ends positive": ("reservoir", (1, -1), (1, 1), (1.0, 0.5)),
}


def measure(bench: Bench) -> Found:
    """How many cells of each family have an interface, have none, or leave it undetermined."""
    return {name: _counted(name) for name in FAMILIES}


def _counted(name: str) -> dict[str, int]:
    contact, valences, amounts, ends = FAMILIES[name]
    counts = {"found": 0, "none": 0, "undetermined": 0}
    for length, voltage in product(LENGTHS, VOLTAGES):
        cell = Cell.dimensionless(length, 1.0, valences, amounts, contact)
        volt = voltage * cell.thermal_voltage
        cell = cell.replace(potential=(ends[0] * volt, ends[1] * volt))
        why = solve_equilibrium(cell, nodes=201)["interface_reason"].item()
        counts["none" if why.startswith("none") else "undetermined" if why else "found"] += 1
    return counts


def judge(found: Found) -> Verdict:
    """Holds where every cell has one, corrected where those of equal amounts do."""
    without = {name: counts["none"] for name, counts in found.items() if counts["none"]}
    if not without:
        return holds()
    if any(name.startswith(EQUAL) for name in without):
        return fails("even closed cells of equal amounts lack one")
    return corrected(
        "in a closed cell with as many cations as anions, whose balance is 0 in the mean and so "
        "somewhere; otherwise ions of one sign can be in the majority everywhere "
        f"({'; '.join(without)})"
    )


def say(found: Found) -> str:
    """Counts in all, and the families without."""
    total = {
        kind: sum(c[kind] for c in found.values()) for kind in ("found", "none", "undetermined")
    }
    each = "; ".join(
        f"{name}: {counts['none']} of {sum(counts.values())}"
        for name, counts in found.items() if counts["none"]
    )  # fmt: skip
    return (
        f"of {sum(total.values())} cells {total['found']} have a point b, {total['none']} have none"
        f"{f' ({each})' if each else ''}, and {total['undetermined']} leave it below rounding"
    )


CLAIM = Claim(
    statement="At equilibrium there is always a point b in the cell with as many cations as "
    "anions.",
    source="PMR Sec. 3.2; App. E.2; App. G, Eq. 21",
    protocol=f"Equilibria at l/lambda_D of {listed(LENGTHS)} and voltages of {listed(VOLTAGES)} "
    "kB T/e: closed cells of equal amounts, of unequal amounts and unequal charges, and cells in "
    "contact with a reservoir, between opposite electrodes and between two positive ones. "
    "Whether the balance of the ions changes sign beyond the solver's error.",
    threshold="no cell in which ions of one sign are in the majority everywhere; undetermined "
    "cells do not count against it",
    measure=measure,
    judge=judge,
    say=say,
)
