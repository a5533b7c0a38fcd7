"""From nothing to an answer: import and first solve in new processes, with a warm Numba cache."""

import statistics
from functools import partial
from operator import ge

from fresh import run
from table import verdict

CODE = """
def now():
    return time.perf_counter(), time.process_time()
start = now()
import pnpfuse_solvers
imported = now()
pnpfuse_solvers.solve_equilibrium(pnpfuse_solvers.Cell.fig8(5))
print(json.dumps([start, imported, now()]))
"""


def rows(peers, rounds, only=("start",)):
    """Medians over new processes; the first, which may fill the cache, is not counted."""
    run(CODE)
    found = [run(CODE) for _ in range(rounds)]
    shared = {"work": "start", "solver": "pnpfuse", "runs": rounds}
    for case, mark, limit in (("import", 1, 1.0), ("import, first solve", 2, 1.5)):
        seconds, busy = (
            statistics.median(clocks[mark][k] - clocks[0][k] for clocks in found) for k in (0, 1)
        )
        note = f"{busy:.2f} s of processor"
        yield shared | {"case": case, "seconds": seconds, "busy": busy, "note": note}
        yield verdict("start", case, f"<= {limit} s", seconds, partial(ge, limit))
