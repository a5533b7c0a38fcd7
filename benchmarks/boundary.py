"""A learnable interface: the solve, its gradient, and other ways to that gradient, in one thread.

    python benchmarks/boundary.py [--rounds 15] [--quick] [--out boundary.json]

Cells are drawn from lengths of 0.5 to 20 Debye lengths, 10 to 40 kB T/e and charge ratios from 1/32
to 1; forward is `pnp_boundary` (three meshes from 401 nodes) and its b, backward that of the sum of
b to all three numbers of each cell. They are called in turn, warm; medians over the rounds, and of
ratios round by round. The floor of backward is its own Thomas solves, six right sides a mesh.

`finite differences` are six calls of `solve_equilibrium` with a step of 1e-4, `sensitivity` one
call for length, voltage, valence and concentration; both for one cell at their defaults. deltapv
(dPV) solves another problem, a p-n junction at rest: its line is the price of a gradient there. It
runs in the interpreter named by DELTAPV_PYTHON and is left out without one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import timing  # before torch and numpy: sets one thread
import torch

import pnpfuse
from pnpfuse import pnp_boundary
from pnpfuse_solvers import kernels, sensitivity, solve_equilibrium

NODES, STEP = 401, 1e-4
PARAMETERS = ("length", "voltage", "specific.valence", "specific.concentration")


def numbers(count):
    """Length and charge ratios and voltages (count,) of cells, with gradients."""
    rng = np.random.default_rng(0)
    ends = ((0.5, 20.0), (10.0, 40.0), (1 / 32, 1.0))
    drawn = (np.exp(rng.uniform(np.log(low), np.log(high), count)) for low, high in ends)
    return [torch.tensor(one, requires_grad=True) for one in drawn]


def floor(count):
    """The tridiagonal solves of as many cells: six right sides on each of three meshes."""
    systems = []
    for n in (NODES, 2 * NODES - 1, 4 * NODES - 3):
        systems.append((np.full(n - 1, -1.0), np.full(n, 2.5), np.ones((6, n))))

    def call():
        for _ in range(count):
            for off, diagonal, right in systems:
                kernels.thomas(off, diagonal, right)

    return call


def cost(count, rounds):
    """One row: medians of forward, backward and its floor for ``count`` cells."""
    given, solves = numbers(count), floor(count)
    taken = []
    for k in range(rounds + 1):
        forward = timing.clock(lambda: pnp_boundary(*given).b.nansum())
        backward = timing.clock(lambda value=forward[2]: value.backward())
        if k:  # the first one warms up
            taken.append((forward[0], backward[0], timing.clock(solves)[0]))
    there, back, least = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "line": "pnp_boundary",
        "cells": count,
        "forward": there,
        "backward": back,
        "ratio": statistics.median(b / a for a, b, _ in taken),
        "floor": least,
        "over_floor": statistics.median(b / c for _, b, c in taken),
        "runs": len(taken),
        "goal": "<= 1",
        "met": statistics.median(b / a for a, b, _ in taken) <= 1.0,
    }


def differences():
    """b and its three slopes through `solve_equilibrium`, a central difference each."""

    def b(n, voltage, charge):
        cell = pnpfuse.cell_for({"one": 4096, "other": 1024}, "one", n=n, voltage=voltage)
        shared, specific = cell.ions
        ion = type(specific)("specific", -charge, shared.concentration / charge)
        cell = cell.replace(ions=(shared, ion))
        cell = cell.replace(length=n * cell.debye_length)
        found = solve_equilibrium(cell)
        return float(found["interface"]) / cell.length

    at = (4.0, 20.0, 0.25)
    slopes = []
    for k in range(3):
        near = [
            b(*(p * (1 + sign * STEP * (i == k)) for i, p in enumerate(at))) for sign in (-1, 1)
        ]
        slopes.append((near[1] - near[0]) / (2 * STEP * at[k]))
    return slopes


def other_ways(rounds):
    """Rows for one cell: what a gradient costs by other means, beside ours."""
    cell = pnpfuse.cell_for({"one": 4096, "other": 1024}, "one")

    def ours():
        given = [
            torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in (4.0, 20.0, 0.25)
        ]
        pnp_boundary(*given).b.backward()
        return [one.grad.item() for one in given]

    calls = {
        "pnp_boundary, forward and backward": ours,
        "sensitivity": lambda: sensitivity(cell, "interface", PARAMETERS),
        "finite differences": differences,
    }
    times = timing.in_turn(calls, rounds)
    own = times["pnp_boundary, forward and backward"]
    for name, found in times.items():
        row = {
            "line": name,
            "cells": 1,
            "both": found.seconds,
            "ratio": found.seconds / own.seconds,
        }
        if name == "finite differences":
            pairs = zip(found.result, own.result, strict=True)
            row["off_by"] = max(abs(a - b) for a, b in pairs)
        yield row


def peer():
    """The row of deltapv, or why there is none."""
    python = os.environ.get("DELTAPV_PYTHON")
    if not python:
        return {"line": "deltapv", "absent": "DELTAPV_PYTHON names no interpreter"}
    script = Path(__file__).with_name("peers") / "deltapv_.py"
    single = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
    done = subprocess.run(
        [python, script], capture_output=True, text=True, env={**os.environ, **single}, check=False
    )
    if done.returncode:
        return {"line": "deltapv", "absent": done.stderr.strip().splitlines()[-1][:120]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "line": "deltapv, p-n junction at rest, 500 nodes",
        "cells": 1,
        "forward": found["solve"],
        "backward": found["both"] - found["solve"],
        "ratio": found["ratio"],
        "off_by": abs(found["gradient"] / found["difference"] - 1.0),
        "versions": found["versions"],
    }


def main():
    """Time every way, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="without 10000 cells")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("boundary.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for count in (1, 3, 100) if given.quick else (1, 3, 100, 10_000):
        rounds = given.rounds * (20 if count < 10 else 1)
        rows.append(cost(count, min(rounds, 5) if count > 1000 else rounds))
    rows += [*other_ways(given.rounds), peer()]
    for row in rows:
        times = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()}
        sys.stdout.write(" ".join(f"{k}={v}" for k, v in times.items()) + "\n")
    report = {"machine": timing.machine(), "rows": rows}
    report["machine"]["versions"]["torch"] = torch.__version__
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
