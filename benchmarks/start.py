"""From nothing to an answer: import and first solve in new processes, with a warm Numba cache."""

import statistics

from fresh import run
from table import verdict

CODE = """
start = time.perf_counter()
import pnpfuse_solvers
imported = time.perf_counter()
pnpfuse_solvers.solve_equilibrium(pnpfuse_solvers.Cell.fig8(5))
print(json.dumps([imported - start, time.perf_counter() - imported]))
"""


def rows(peers, rounds, only=("start",)):
    """Medians over new processes; the first, which may fill the cache, is not counted."""
    run(CODE)
    found = [run(CODE) for _ in range(rounds)]
    shared = {"work": "start", "solver": "pnpfuse", "runs": rounds}
    imports = statistics.median(a for a, _ in found)
    both = statistics.median(a + b for a, b in found)
    yield shared | {"case": "import", "seconds": imports}
    yield shared | {"case": "import, first solve", "seconds": both}
    yield verdict("start", "import", "<= 1 s", imports, lambda s: s <= 1.0)
    yield verdict("start", "import, first solve", "<= 1.5 s", both, lambda s: s <= 1.5)
