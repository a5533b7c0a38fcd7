"""solve_many: 10000 cells on 200 nodes, on one thread and on two, in turn in one new process."""

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
def solve(vary, threads):
    return solve_many(cell, vary, nodes={nodes}, profiles={profiles}, threads=threads, **{more})
solve(small, 2)
before = settle()
result = solve(vary, 1)
rise = peak() - before
taken = dict()
for _ in range({rounds}):
    for threads in {threads}:
        busy, start = time.process_time(), time.perf_counter()
        solve(vary, threads)
        seconds = time.perf_counter() - start, time.process_time() - busy
        taken.setdefault(threads, []).append(seconds)
found = {{str(k): np.median(pairs, axis=0).tolist() for k, pairs in taken.items()}}
failed = int(np.isnan(result.free_energy.values).sum())
print(json.dumps(dict(found, failed=failed, output=result.nbytes / 2**20, peak=rise)))
"""


def batch(contact, cells, nodes=200, threads=(1,), rounds=5, profiles=False, more=None):
    """Time a batch in a new process.

    Returns {threads as str: [seconds, seconds of all cores], failed, output [MiB], peak [MiB]}.
    """
    side = 100 if cells >= 1000 else 10
    code = CODE.format(
        contact=contact, cells=cells, side=side, nodes=nodes, rounds=rounds, profiles=profiles,
        threads=threads, more=more or {},
    )  # fmt: skip
    return run(code, max(threads))


def rows(peers, rounds, only=("many",)):
    """One and two threads, both kinds of cell."""
    if not hasattr(pnpfuse_solvers, "solve_many"):
        why = "pnpfuse_solvers has no solve_many yet"
        yield {"work": "many", "case": "10000 x 200", "solver": "pnpfuse", "skipped": why}
        return
    for contact in ("closed", "reservoir"):
        case = f"{contact} 10000 x 200"
        for label, more in (("default", {}), ("order 2", {"order": 2})):
            found = batch(contact, 10000, threads=(1, 2), rounds=rounds, more=more)
            for threads in (1, 2):
                seconds, busy = found[str(threads)]
                yield {
                    "work": "many",
                    "case": case,
                    "solver": f"pnpfuse ({label}), {threads} thread{'s'[: threads - 1]}",
                    "seconds": seconds,
                    "busy": busy,
                    "runs": rounds,
                    "note": f"{busy:.2f} s of processor, {found['failed']} cells failed",
                }
            alone = min(found["1"])  # processor time, where others load the machine
            target = f"({label}) <= 0.35 s on one thread"
            yield verdict("many", case, target, alone, lambda s: s <= 0.35)
            gain = found["1"][0] / found["2"][0]
            target = f"({label}) near 2 x on two threads (>= 1.7)"
            yield verdict("many", case, target, gain, lambda g: g >= 1.7)
