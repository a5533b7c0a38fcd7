"""The potential at the interface."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

# (valences, reference concentrations)
SALTS = (
    ((1, -1), (1, 1)),
    ((1, -1), (1, 2)),
    ((1, -1), (3, 1)),
    ((2, -1), (1, 2)),
    ((1, -3), (2, 1)),
)
LENGTHS, VOLTAGE = (0.5, 2.0), 3.0
LIMIT = 1e-5  # kB T/e; a straight line between two nodes is off by 1e-6


def measure(bench: Bench) -> Found:
    """u(b) as solved, by the printed relation, and with its sign changed."""
    found: Found = {"salts": [], "solved": [], "printed": []}
    for (valences, amounts), length in product(SALTS, LENGTHS):
        cell = Cell.dimensionless(length, VOLTAGE, valences, amounts, contact="reservoir")
        one = solve_equilibrium(cell)
        at_b = float(np.interp(one["interface"], one["x"], one["reduced_potential"]))
        relation = np.log(amounts[0] / amounts[1]) / (valences[1] - valences[0])
        charges, densities = (" and ".join(map(str, pair)) for pair in (valences, amounts))
        found["salts"].append(f"valences {charges}, concentrations {densities}")
        found["solved"].append(at_b)
        found["printed"].append(float(relation))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the printed relation gives u(b), corrected where its negative does."""
    solved, printed = (np.array(found[name], dtype=float) for name in ("solved", "printed"))
    if np.abs(solved - printed).max() < LIMIT:
        return holds()
    if np.abs(solved + printed).max() < LIMIT:
        return corrected(
            "the sign: (z+ - z-) u(b) = ln(c+0/c-0); with equal concentrations, as in the paper, "
            "both are 0"
        )
    return fails("the solved u(b) follows neither sign")


def say(found: Found) -> str:
    """The largest differences."""
    solved, printed = (np.array(found[name], dtype=float) for name in ("solved", "printed"))
    worst = int(np.abs(printed).argmax())
    return (
        f"u(b) is off by up to {np.abs(solved - printed).max():.3f} kB T/e as printed, by "
        f"{np.abs(solved + printed).max():.0e} with the other sign (for "
        f"{found['salts'][worst]}: {solved[worst]:.4f}, printed "
        f"{printed[worst]:.4f})"
    )


CLAIM = Claim(
    statement="At b the potential is given by (z- - z+) u(b) = ln(c+0/c-0).",
    source="PMR App. G, after Eq. 21",
    protocol=f"Cells in contact with a reservoir, {len(SALTS)} salts of equal and unequal "
    f"reference concentrations, {listed(LENGTHS)} Debye lengths at plus and minus {VOLTAGE:g} kB "
    "T/e; the solved potential at the solved b beside the relation.",
    threshold=f"both equal to {LIMIT:g} kB T/e",
    measure=measure,
    judge=judge,
    say=say,
)
