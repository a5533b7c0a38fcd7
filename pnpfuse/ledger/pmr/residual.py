"""The residual of Newton's method."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.poisson import boltzmann_residual, ion_charge, poisson_residual
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium

LIMIT = 1e-10  # the paper's 1e-8 %
VOLTAGES, LENGTHS = (0.1, 1.0, 5.0, 20.0), (0.118338, 1.0, 10.0, 100.0)


def measure(bench: Bench) -> Found:
    """Residuals of closed 1:1 cells, as the solver says and as computed anew."""
    found: Found = {"solver": [], "poisson": [], "flux": []}
    for voltage in VOLTAGES:
        for length in LENGTHS:
            cell = Cell.dimensionless(length, voltage)
            found["solver"].append(float(solve_equilibrium(cell, throw=False)["residual"]))
            one = solve_equilibrium(cell, order=2, throw=False)
            charge = ion_charge(one, cell)
            found["poisson"].append(poisson_residual(one, cell, charge))
            found["flux"].append(boltzmann_residual(one))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the largest is below the limit."""
    worst = _worst(found)
    largest = max(worst, key=lambda name: worst[name])
    if worst[largest] < LIMIT:
        return holds()
    return fails(f"in some cell the residual ({largest}) is {worst[largest]:.1e}")


def say(found: Found) -> str:
    """The largest of each."""
    worst = _worst(found)
    return (
        f"at most {worst['solver']:.1e} by the solver's word, {worst['poisson']:.1e} (Poisson) and "
        f"{worst['flux']:.1e} (no flux) computed anew, over {len(found['solver'])} cells"
    )


def _worst(found: Found) -> dict[str, float]:
    """A residual that is not finite is as large as can be."""
    return {
        name: max(float("inf") if one is None else one for one in values)
        for name, values in found.items()
    }


CLAIM = Claim(
    statement="Newton-Raphson solves the cell to a residual below 1e-8 %.",
    source="PMR App. E.2; App. G, Fig. 8",
    protocol=f"Closed 1:1 cells at l/lambda_D of {listed(LENGTHS)} and electrodes at plus and "
    f"minus {listed(VOLTAGES)} kB T/e; the residual that the solver reports, and two computed "
    "anew from its profiles: what is missing to Gauss's law in the boxes about the nodes over "
    "the largest displacement, and the largest difference of a chemical potential along the cell "
    "in kB T.",
    threshold=f"every residual below {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
