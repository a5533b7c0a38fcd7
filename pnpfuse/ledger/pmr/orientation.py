"""Which species gathers where."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient

LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0), (2.0, 10.0)
SETTLED = 20.0  # l^2/D


def measure(bench: Bench) -> Found:
    """Share of the cations in the half at x = 0, at equilibrium and long after a switch."""
    found: Found = {"equilibrium": [], "in_time": [], "anions_integral": []}
    for length, voltage in product(LENGTHS, VOLTAGES):
        cell = Cell.dimensionless(length, voltage)
        last = SETTLED * cell.length**2 / cell.ions[0].diffusivity
        for name, solution in (
            ("equilibrium", solve_equilibrium(cell, order=2)),
            ("in_time", solve_transient(cell, [last], order=2, nodes=201).isel(time=-1)),
        ):
            x = solution["x"].values
            c = solution["concentration"].sel(species="cation").values
            amount = np.append(0.0, np.cumsum(0.5 * (c[1:] + c[:-1]) * np.diff(x)))
            found[name].append(float(np.interp(cell.length / 2, x, amount) / amount[-1]))
        # With cations at x = 0, which takes a negative U0, Eq. 3's anions are at the other end.
        turned = solve_equilibrium(cell.at_voltage(-voltage)).pnp.gauss()
        found["anions_integral"].append(float(turned["anions"] / turned["displacement"]))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the cations are at x = 0, corrected where they are at x = l."""
    near = [*found["equilibrium"], *found["in_time"]]
    if min(near) > 0.5:
        return holds()
    if max(near) < 0.5:
        return corrected(
            "a positive U0 drives the cations to x = l and the anions to x = 0, as App. G has it "
            "and as Eq. 3 takes for granted"
        )
    return fails("neither end has the cations in all cells")


def say(found: Found) -> str:
    """The shares."""
    near = [*found["equilibrium"], *found["in_time"]]
    return (
        f"with U0 > 0 the half at x = 0 holds {min(near):.2g} to {max(near):.2g} of the cations, "
        "at equilibrium and long after the electrodes are switched on; with U0 < 0, which does "
        f"bring them there, the right side of Eq. 3 is {min(found['anions_integral']):.2g} to "
        f"{max(found['anions_integral']):.2g} times its left side"
    )


CLAIM = Claim(
    statement="With a large U0, the external potential at x = 0 less that at x = l, cations "
    "gather at x = 0 and anions at x = l.",
    source="PMR App. E.2",
    protocol=f"Closed 1:1 cells of {listed(LENGTHS)} Debye lengths between electrodes at plus (x "
    f"= 0) and minus {listed(VOLTAGES)} kB T/e: the share of the cations in the half at x = 0, at "
    f"equilibrium and in time {SETTLED:g} l^2/D after the electrodes are switched on; and both "
    "sides of Eq. 3 in the cell turned around.",
    threshold="more than half of the cations in the half at x = 0 in every cell",
    measure=measure,
    judge=judge,
    say=say,
)
