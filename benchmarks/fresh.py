"""Code run in a new interpreter with a given number of threads, which prints JSON."""

import json
import os
import subprocess
import sys

from timing import THREADS

# Memory in MiB where Linux tells it, else NaN: `settle` restarts the peak, `peak` reads it.
PRELUDE = """
import contextlib, json, sys, time
def memory(name):
    with contextlib.suppress(OSError), open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return float("nan")
def settle():
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS")
def peak():
    return memory("VmHWM")
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
