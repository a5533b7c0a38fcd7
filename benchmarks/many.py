"""solve_many: 10000 cells on 200 nodes, on one thread and on two."""

from fresh import run
from table import verdict

import pnpfuse_solvers

CODE = """
import numpy as np
from pnpfuse_solvers import Cell, solve_many
cell = Cell.dimensionless(0.118338, 1.0, contact={contact!r})
side = {side}
vary = {{
    "voltage": np.linspace(0.1, 20.0, side),
    "length": cell.length * np.geomspace(1.0, 50.0, {cells} // side),
}}
small = {{name: values[:2] for name, values in vary.items()}}
solve = lambda vary: solve_many(cell, vary, nodes={nodes}, profiles={profiles})
solve(small)
before = settle()
seconds, result = median(lambda: solve(vary), {rounds})
found = dict(seconds=seconds, output=result.nbytes / 2**20, peak=peak() - before)
print(json.dumps(found | dict(failed=int(np.isnan(result.free_energy.values).sum()))))
"""


def batch(contact, cells, nodes=200, threads=1, rounds=5, profiles=False):
    """Time a batch in a new process; returns {seconds, failed, output [MiB], peak [MiB]}."""
    side = 100 if cells >= 1000 else 10
    code = CODE.format(
        contact=contact, cells=cells, side=side, nodes=nodes, rounds=rounds, profiles=profiles
    )
    return run(code, threads)


def rows(peers, rounds, only=("many",)):
    """One and two threads, both kinds of cell."""
    if not hasattr(pnpfuse_solvers, "solve_many"):
        why = "pnpfuse_solvers has no solve_many yet"
        yield {"work": "many", "case": "10000 x 200", "solver": "pnpfuse", "skipped": why}
        return
    for contact in ("closed", "reservoir"):
        case = f"{contact} 10000 x 200"
        found = {}
        for threads in (1, 2):
            answer = found[threads] = batch(contact, 10000, threads=threads, rounds=rounds)
            yield {
                "work": "many",
                "case": case,
                "solver": f"pnpfuse, {threads} thread{'s'[: threads - 1]}",
                "seconds": answer["seconds"],
                "runs": rounds,
                "note": f"{answer['failed']} cells failed",
            }
        one = found[1]["seconds"]
        gain = one / found[2]["seconds"]
        yield verdict("many", case, "<= 0.35 s on one thread", one, one <= 0.35)
        yield verdict("many", case, "near 2 x on two threads (>= 1.7)", gain, gain >= 1.7)
