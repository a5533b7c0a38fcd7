"""Code run in a new interpreter with a given number of threads, which prints JSON."""

import json
import os
import subprocess
import sys

from timing import THREADS

# Peak memory of the process so far, MiB (Linux counts KiB, macOS bytes).
PRELUDE = """
import json, resource, sys, time
def peak():
    unit = 1 << (20 if sys.platform == "darwin" else 10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
def median(call, rounds):
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2], result
"""


def run(code, threads=1):
    """Return what ``code`` prints as JSON; RuntimeError with the last line of its complaint."""
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in THREADS}
    environment["NUMBA_NUM_THREADS"] = str(threads)
    found = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, env=environment
    )
    if found.returncode:
        raise RuntimeError(found.stderr.strip().splitlines()[-1][:120])
    return json.loads(found.stdout.strip().splitlines()[-1])
