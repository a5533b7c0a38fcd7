"""Time and memory against the number of nodes and of cells, each in a new process."""

from fresh import run
from many import batch
from table import verdict

import pnpfuse_solvers

NODES = (201, 1001, 10001, 100001)
CELLS = (100, 1000, 10000, 100000)
CODE = """
from pnpfuse_solvers import Cell, solve_equilibrium
cell = Cell.dimensionless(100.0, 10.0)
solve_equilibrium(cell, nodes=101)
before = settle()
first = solve_equilibrium(cell, nodes={nodes})
rise = peak() - before
seconds, result = median(lambda: solve_equilibrium(cell, nodes={nodes}), {rounds})
print(json.dumps(dict(seconds=seconds, output=result.nbytes / 2**20, peak=rise)))
"""
# From ten times the work at most this many times the time, and this many times the output.
SLACK, MULTIPLE = 1.5, 12.0


def rows(peers, rounds, only=("growth",)):
    """Nodes, then cells."""
    found = {}
    for nodes in NODES:
        found[nodes] = run(CODE.format(nodes=nodes, rounds=rounds))
        yield _row(f"{nodes} nodes", found[nodes], rounds)
    yield from _verdicts("nodes", found, NODES)
    if not hasattr(pnpfuse_solvers, "solve_many"):
        why = "pnpfuse_solvers has no solve_many yet"
        yield {"work": "growth", "case": "cells", "solver": "pnpfuse", "skipped": why}
        return
    found = {}
    for cells in CELLS:
        found[cells] = batch("closed", cells, rounds=1 if cells > 10000 else rounds)
        found[cells]["seconds"] = found[cells]["1"][0]
        yield _row(f"{cells} cells", found[cells], rounds)
    yield from _verdicts("cells", found, CELLS)


def _row(case, found, rounds):
    note = f"output {found['output']:.2f} MiB, peak memory + {found['peak']:.1f} MiB"
    return {
        "work": "growth", "case": case, "solver": "pnpfuse", "seconds": found["seconds"],
        "runs": rounds, "output": found["output"], "peak": found["peak"], "note": note,
    }  # fmt: skip


def _verdicts(what, found, sizes):
    small, large = found[sizes[-2]], found[sizes[-1]]
    growth = large["seconds"] / small["seconds"] / (sizes[-1] / sizes[-2])
    target = f"time a share of work, {sizes[-1]} over {sizes[-2]} <= {SLACK}"
    yield verdict("growth", what, target, growth, lambda g: g <= SLACK)
    multiple = large["peak"] / large["output"]
    target = f"peak memory over output <= {MULTIPLE:g}"
    yield verdict("growth", what, target, multiple, lambda m: m <= MULTIPLE)
