"""Medians of calls taken in turn, in one thread; import before numpy."""

import contextlib
import os
import platform
import re
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")
for _name in THREADS:
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

PACKAGES = (
    "pnpfuse", "numpy", "numba", "scipy", "xarray", "matscipy", "devsim", "pybamm",
    "pybammsolvers", "fipy",
)  # fmt: skip
# A quick call is repeated within its turn, so that its caches are as warm as a user's would be.
TURN, MOST = 0.02, 25
# Settings that take longer than this are not looked at, s.
PATIENCE = 4.0


class Times(NamedTuple):
    """Medians of a solver's calls."""

    seconds: float
    busy: float  # of the processor: what is left of `seconds` where others load the machine
    runs: int
    result: Any


def clock(call):
    """Return (seconds, busy seconds, result); one from another interpreter reports its own."""
    if hasattr(call, "timed"):
        return call.timed()
    busy, start = time.process_time(), time.perf_counter()
    result = call()
    return time.perf_counter() - start, time.process_time() - busy, result


def in_turn(calls, rounds):
    """Time named calls in turn.

    Parameters
    ----------
    calls : {name: callable without arguments}
    rounds : int
        Number of turns, after a first one that warms up and is not counted.

    Returns
    -------
    {name: Times}
    """
    results, counts, taken = {}, {}, {name: [] for name in calls}
    for name, call in calls.items():
        clock(call)
        first, _, results[name] = clock(call)
        counts[name] = min(MOST, max(1, int(TURN / first)))
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name] += [clock(call)[:2] for _ in range(counts[name])]
    found = {}
    for name, pairs in taken.items():
        seconds, busy = (statistics.median(column) for column in zip(*pairs, strict=True))
        found[name] = Times(seconds, busy, len(pairs), results[name])
    return found


def quickest(ladder, error, target, rounds=3):
    """Pick the quickest rung whose error meets the target.

    Parameters
    ----------
    ladder : {setting: callable}
    error : callable
        (result) -> error.
    target : float

    Returns
    -------
    (setting or None, {setting: (busy seconds of a call, error)} of all that ended well in time)
    """
    tried = {}
    for setting, call in ladder.items():
        with contextlib.suppress(Exception):  # a rung that fails, however, is none
            call()  # may compile
            seconds, busy, result = clock(call)
            if seconds < PATIENCE:
                tried[setting] = busy, result
    tried = {setting: (busy, error(result)) for setting, (busy, result) in tried.items()}
    good = [setting for setting, (_, e) in tried.items() if e <= target]
    if not good:
        return None, tried
    best = sorted(good, key=lambda setting: tried[setting][0])[:3]
    times = in_turn({setting: ladder[setting] for setting in best}, rounds)
    return min(times, key=lambda setting: times[setting].busy), tried


def brief(failure):
    """First line of an exception, without paths of the machine."""
    text = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return re.sub(r"(/[^\s/:'\"]+){2,}", "...", text)[:120]


@contextlib.contextmanager
def silence():
    """Turn off what compiled peers print, by the file descriptor."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def machine():
    """Return what the numbers were measured on."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": {name: os.environ[f"{name}_NUM_THREADS"] for name in THREADS},
        "versions": found,
    }


def _cpu():
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
