"""The solver's residual."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium

LIMIT = 1e-10  # "below 1e-8 %"
VOLTAGES, LENGTHS = (0.1, 1.0, 5.0, 20.0), (0.118338, 1.0, 10.0, 100.0)


def measure(bench: Bench) -> Found:
    """Residuals of closed 1:1 cells."""
    solved = [
        solve_equilibrium(Cell.dimensionless(length, voltage))
        for voltage in VOLTAGES
        for length in LENGTHS
    ]
    return {"residuals": [float(one["residual"]) for one in solved]}


def judge(found: Found) -> Verdict:
    """Holds where the largest is below the limit."""
    worst = max(found["residuals"])
    return holds() if worst < LIMIT else fails(f"a cell has {worst:.1e}")


def say(found: Found) -> str:
    """The largest residual."""
    return f"at most {max(found['residuals']):.1e} over {len(found['residuals'])} cells"


CLAIM = Claim(
    statement="Newton-Raphson solves the cell to a residual below 1e-8 %.",
    source="PMR App. E.2",
    protocol=f"Closed 1:1 cells at l/lambda_D of {LENGTHS} and electrodes at plus and minus "
    f"{VOLTAGES} kB T/e; the largest relative residual of Poisson's equation and of the fluxes.",
    threshold=f"every residual below {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
