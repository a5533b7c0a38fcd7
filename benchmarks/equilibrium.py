"""Equilibria beside SciPy's solve_bvp: the same cells, one thread, warm, medians, in one run.

    python benchmarks/equilibrium.py [--repeats 7] [--out benchmarks/equilibrium.json]

Errors are the largest of u at the nodes, against elliptic integrals at 50 digits.
SciPy gets the problem as well as it can be put: ln <cosh u> as an unknown parameter for the
closed cell, a Gouy-Chapman start on a graded mesh for the reservoir.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.integrate import solve_bvp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from reference import ClosedCell

from pnpfuse_solvers import Cell, solve_equilibrium


def closed_by_scipy(ratio, voltage, tol=1e-6):
    """u'' = k^2 sinh(u)/A, A = <cosh u>; unknown ln A, the mean as a third component."""

    def rhs(x, y, p):
        scale = ratio**2 * np.exp(-p[0])
        return np.array([y[1], scale * np.sinh(y[0]), np.cosh(y[0]) * np.exp(-p[0])])

    def ends(a, b, p):
        return np.array([a[0] - voltage, b[0] + voltage, a[2], b[2] - 1.0])

    x = np.linspace(0, 1, 33)
    line = voltage * (1 - 2 * x)
    start = np.array([line, np.full_like(x, -2.0 * voltage), x])
    mean = np.trapezoid(np.cosh(line), x)
    return solve_bvp(rhs, ends, x, start, p=[np.log(mean)], tol=tol, max_nodes=20000)


def reservoir_by_scipy(ratio, voltage, tol=1e-6):
    """u'' = k^2 sinh(u) from Gouy-Chapman's layers."""
    layer = np.exp(-voltage / 2) / ratio
    half = np.concatenate([[0.0], np.geomspace(layer / 20, 0.5, 200)])
    x = np.unique(np.concatenate([half, 1 - half]))

    def wall(d):
        return 4 * np.arctanh(np.tanh(voltage / 4) * np.exp(-ratio * d))

    u = wall(x) - wall(1 - x)
    start = np.array([u, np.gradient(u, x)])
    return solve_bvp(
        lambda x, y: np.array([y[1], ratio**2 * np.sinh(y[0])]),
        lambda a, b: np.array([a[0] - voltage, b[0] + voltage]),
        x, start, tol=tol, max_nodes=50000,
    )  # fmt: skip


def median(call, repeats):
    """Median seconds of a warm call, and what it returned."""
    result = call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def exact(contact, ratio, voltage, x, u):
    """Reference potential at x, from a guess u."""
    if contact == "closed":
        return np.array(ClosedCell(ratio, voltage).potential(x, u))

    # Two walls that do not feel each other at 100 Debye lengths.
    def wall(d):
        return 4 * np.arctanh(np.tanh(voltage / 4) * np.exp(-ratio * d))

    return wall(x) - wall(1 - x)


def row(contact, ratio, voltage, order, repeats):
    """One cell: seconds and errors of both."""
    cell = Cell.dimensionless(ratio, voltage, contact=contact)
    ours, solution = median(lambda: solve_equilibrium(cell, order=order), repeats)
    scipy_call = closed_by_scipy if contact == "closed" else reservoir_by_scipy
    theirs, found = median(lambda: scipy_call(ratio, voltage), repeats)
    x = solution.x.values / float(solution.length)
    # Half of the cell, by symmetry: there distances from the wall keep their digits.
    some = slice(0, x.size // 2, 4)
    u = solution.reduced_potential.values[some]
    error = float(np.abs(u - exact(contact, ratio, voltage, x[some], u)).max())
    their_error = None
    if found.success:
        at = found.x[(found.x < 0.5)][::4]
        v = found.sol(at)[0]
        their_error = float(np.abs(v - exact(contact, ratio, voltage, at, v)).max())
    return {
        "cell": f"{contact}, l/lambda_D {ratio}, +-{voltage}",
        "order": order,
        "seconds": ours,
        "error": error,
        "solve_bvp_seconds": theirs,
        "solve_bvp_error": their_error,
        "ratio": theirs / ours,
    }


def main():
    """Run all cells, print a line each and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    given = parser.parse_args()
    rows = []
    for order in (2, 6):
        for contact, ratio, voltages in (
            ("closed", 0.118338, (1, 5, 20, 40)),
            ("closed", 100, (10, 20, 40)),
            ("reservoir", 100, (10, 20, 40)),
        ):
            for voltage in voltages:
                entry = row(contact, ratio, voltage, order, given.repeats)
                rows.append(entry)
                print(
                    f"{entry['cell']:34s} order {order}  {1e3 * entry['seconds']:6.2f} ms "
                    f"{entry['error']:.1e}   solve_bvp {1e3 * entry['solve_bvp_seconds']:7.2f} ms "
                    f"{entry['solve_bvp_error'] or float('nan'):.1e}   x {entry['ratio']:.1f}"
                )
    report = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "versions": {
            name: version(name) for name in ("pnpfuse", "numpy", "numba", "scipy", "xarray")
        },
        "repeats": given.repeats,
        "rows": rows,
    }
    Path(given.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
