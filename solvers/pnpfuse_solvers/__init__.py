"""One-dimensional Poisson-Nernst-Planck solvers.

>>> from pnpfuse_solvers import Cell, solve_equilibrium
>>> solution = solve_equilibrium(Cell.fig8(voltage=5))
"""

from pnpfuse_solvers import accessor  # noqa: F401  registers .pnp on xarray.Dataset
from pnpfuse_solvers.cell import Cell, Constants, Ion
from pnpfuse_solvers.equilibrium import solve_equilibrium
from pnpfuse_solvers.many import solve_many
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.response import capacitance, sensitivity
from pnpfuse_solvers.spectrum import impedance
from pnpfuse_solvers.steady import solve_steady
from pnpfuse_solvers.transient import solve_transient

__all__ = [
    "Cell",
    "Constants",
    "Ion",
    "Outcome",
    "SolverError",
    "capacitance",
    "impedance",
    "sensitivity",
    "solve_equilibrium",
    "solve_many",
    "solve_steady",
    "solve_transient",
]
