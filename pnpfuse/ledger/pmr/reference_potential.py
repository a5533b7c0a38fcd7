"""The reference of the potential in the derivation."""

from __future__ import annotations

from itertools import product

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.wording import listed, span
from pnpfuse_solvers import Cell, solve_equilibrium

LENGTHS, DROPS = (0.118338, 1.0, 4.0), (2.0, 6.0, 12.0)
LEVEL = 1e-8  # of the balance of two equal concentrations


def measure(bench: Bench) -> Found:
    """The balance at x = 0, and b, for a potential that is 0 there and one that is 0 at b."""
    found: Found = {"at_start": [], "at_b": [], "b": [], "u_b": []}
    for length, drop in product(LENGTHS, DROPS):
        cell = Cell.dimensionless(length, 1.0, contact="reservoir")
        volt = drop * cell.thermal_voltage
        for name, ends in (("at_start", (0.0, -volt)), ("at_b", (volt / 2, -volt / 2))):
            one = solve_equilibrium(cell.replace(potential=ends))
            cation, anion = one["concentration"].values[:, 0]
            found[name].append((cation - anion) / (cation + anion))
        b = float(one["interface"])
        found["b"].append(b / cell.length)
        found["u_b"].append(float(one["reduced_potential"].interp(x=b)))
    return found


def judge(found: Found) -> Verdict:
    """Holds where f(0) < 0 with the printed reference, corrected where with that at b."""
    if max(found["at_start"]) < -LEVEL:
        return holds()
    inside = all(b is not None and 0 < b < 1 for b in found["b"])
    if inside and max(found["at_b"]) < -LEVEL and max(map(abs, found["u_b"])) < LEVEL:
        return corrected(
            "equal reference concentrations at x = 0 put the crossing at x = 0; the potential has "
            "to be 0 where the concentrations are equal, at b"
        )
    return fails("neither reference puts b inside the cell")


def say(found: Found) -> str:
    """Both balances."""
    return (
        f"(c+ - c-)/(c+ + c-) at x = 0 is {max(map(abs, found['at_start'])):.1g} with the "
        f"potential 0 there, and {span(found['at_b'])} with the potential 0 at b, which is at "
        f"{span(found['b'])} of the length"
    )


CLAIM = Claim(
    statement="With the potential 0 at x = 0 and equal concentrations there as reference, c+ - c- "
    "is negative at x = 0 and positive at x = l.",
    source="PMR App. G, after Eq. 17 and before Eq. 21",
    protocol="Concentrations of equal reference times exp(-z u) (cells in contact with a "
    f"reservoir) of {listed(LENGTHS)} Debye lengths with a drop of {listed(DROPS)} kB T/e: with "
    "the potential 0 at x = 0, and with opposite potentials at the ends.",
    threshold="c+ - c- negative at x = 0 in every cell",
    measure=measure,
    judge=judge,
    say=say,
)
