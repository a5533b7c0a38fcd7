"""One Newton step of an equilibrium on 1000 nodes, beside its floor: one exponential a node and one
Thomas solve, both compiled by Numba and timed in the same run."""

import numpy as np
from numba import njit
from table import verdict
from timing import in_turn

from pnpfuse_solvers import Cell
from pnpfuse_solvers.discrete import discretise

NODES, REPEATS = 1000, 20


@njit
def exponentials(u, out):
    """exp(u) at each node."""
    for i in range(u.size):
        out[i] = np.exp(u[i])


@njit
def thomas(off, diagonal, rhs, upper, x):
    """Textbook elimination of a symmetric tridiagonal system."""
    upper[0] = off[0] / diagonal[0]
    x[0] = rhs[0] / diagonal[0]
    for i in range(1, rhs.size):
        pivot = 1.0 / (diagonal[i] - off[i - 1] * upper[i - 1])
        upper[i] = off[i] * pivot
        x[i] = (rhs[i] - off[i - 1] * x[i - 1]) * pivot
    for i in range(rhs.size - 2, -1, -1):
        x[i] -= upper[i] * x[i + 1]


@njit
def floor(u, off, diagonal, rhs, upper, x, repeats):
    """The floor, so many times."""
    for _ in range(repeats):
        exponentials(u, x)
        thomas(off, diagonal, rhs, upper, x)


def newton(contact):
    """Return (call from a far start, call from the solution, their difference in steps).

    The time between two solves over the steps between them: what a call costs besides steps drops
    out. At this voltage no step is shortened by the line search.
    """
    cell = Cell.dimensionless(10.0, 3.0, contact=contact)
    problem = discretise(cell, np.linspace(0.0, cell.length, NODES))
    line = 3.0 * (1 - 2 * problem.nodes)
    found = problem.solve(line, 1e-10)
    again = problem.solve(found.u, 1e-10)
    return (
        lambda: problem.solve(line, 1e-10),
        lambda: problem.solve(found.u, 1e-10),
        found.iterations - again.iterations,
    )


def rows(peers, rounds, only=("step",)):
    """The floor, and a step of both kinds of cell."""
    u = np.linspace(-3.0, 3.0, NODES)
    off, diagonal = np.full(NODES, -1.0), np.full(NODES, 2.5)
    work = np.empty(NODES), np.empty(NODES)
    calls = {"floor": lambda: floor(u, off, diagonal, u, *work, REPEATS)}
    steps = {}
    for contact in ("reservoir", "closed"):
        far, near, steps[contact] = newton(contact)
        calls |= {f"{contact} far": far, f"{contact} near": near}
    found = {name: times.seconds for name, times in in_turn(calls, 4 * rounds).items()}
    limit = found["floor"] / REPEATS
    shared = {"work": "step", "runs": 4 * rounds}
    yield shared | {"case": "1000 nodes", "solver": "floor: exp + Thomas", "seconds": limit}
    for contact, count in steps.items():
        seconds = (found[f"{contact} far"] - found[f"{contact} near"]) / count
        yield shared | {
            "case": contact,
            "solver": "pnpfuse, one Newton step",
            "seconds": seconds,
            "note": f"over {count} steps, residual and energy included",
        }
        ratio = seconds / limit
        yield verdict("step", contact, "one step <= 2 x the floor", ratio, lambda r: r <= 2)
