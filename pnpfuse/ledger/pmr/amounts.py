"""What sets the final amounts."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, VOLTAGES = (10.0, 30.0, 100.0), (1.0, 3.0, 6.0)
LIMIT = 1e-9  # rounding; what a container keeps
SAME = 0.01


def measure(bench: Bench) -> Found:
    """Anions gained at equilibrium, over those given: (voltage, length); and their excess."""
    found: Found = {"closed": [], "reservoir": [], "excess": []}
    for contact, voltage in product(("closed", "reservoir"), VOLTAGES):
        gained, excess = [], []
        for length in LENGTHS:
            cell = Cell.dimensionless(length, voltage, contact=contact)
            one = solve_equilibrium(cell, order=2)
            c, x = one["concentration"].sel(species="anion").values, one["x"].values
            amount = float((0.5 * (c[1:] + c[:-1])) @ np.diff(x))
            given = cell.ions[1].concentration * cell.length
            gained.append(amount / given - 1)
            excess.append((amount - given) / (cell.ions[1].concentration * cell.debye_length))
        found[contact].append(gained)
        if contact == "reservoir":
            found["excess"].append(excess)
    return found


def judge(found: Found) -> Verdict:
    """Holds where amounts in a closed cell follow the voltage, corrected where a reservoir's do."""
    closed, reservoir = (np.abs(np.array(found[name])) for name in ("closed", "reservoir"))
    if closed.min() > LIMIT:
        return holds()
    if closed.max() < LIMIT and reservoir.min() > LIMIT and _spread(found) < SAME:
        return corrected(
            "only in contact with a reservoir, whose excess of ions does not depend on the length; "
            "in a closed cell, which keeps its ions, the final amounts are those put in"
        )
    return fails("neither a closed cell nor a reservoir sets the amounts so")


def say(found: Found) -> str:
    """What is gained."""
    excess = np.array(found["excess"])
    each = ", ".join(f"{row[-1]:.3g} at {u:g}" for u, row in zip(VOLTAGES, excess, strict=True))
    return (
        f"closed cells gain at most {np.abs(np.array(found['closed'])).max():.0e} of their anions "
        f"whatever the voltage; against a reservoir the excess is {each} kB T/e (in Debye lengths "
        f"of the salt), the same in all lengths to {_spread(found):.1%}"
    )


def _spread(found: Found) -> float:
    excess = np.array(found["excess"])
    return float((np.ptp(excess, axis=1) / np.abs(excess).max(axis=1)).max())


CLAIM = Claim(
    statement="The final amount of each species is set by the balance of drift and diffusion, not "
    "by the size of the container.",
    source="PMR App. E.3, claim 1",
    protocol=f"1:1 cells of {listed(LENGTHS)} Debye lengths at {listed(VOLTAGES)} kB T/e at "
    "equilibrium, closed and in contact with a reservoir: the anions in them over those before "
    "the voltage, and their excess.",
    threshold=f"amounts in the closed cell change by more than {LIMIT:g}; corrected where only "
    f"those against a reservoir do, by an excess equal in all lengths to {SAME:.0%}",
    measure=measure,
    judge=judge,
    say=say,
)
