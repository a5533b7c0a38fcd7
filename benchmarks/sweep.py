"""A whole sweep on the digits, from the call to the Dataset: stacked beside one by one.

    python benchmarks/sweep.py [--rounds 1] [--epochs 30] [--out sweep.json]
    python benchmarks/sweep.py --quick      # 30 points, two epochs, no file

270 points of rpmr, six n, nine b, five seeds: trained, evaluated with each modality missing,
measured and written to a Zarr store. The ways are called in turn; "busy" are the seconds of all
the processes on the CPU, which other work on the machine changes less than the time that passes.
One by one in one process takes the quickest number of threads, found on a few points before.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import timing  # before torch: sets one thread
import torch

from pnpfuse import load_views, run_sweep
from pnpfuse.executors import executor_for

N, QUICK_N = (0.5, 1, 2, 4, 6, 8), (1, 4)
B, QUICK_B = tuple(i / 10 for i in range(1, 10)), (0.25, 0.5, 0.75)
SEEDS = 5
GOAL = 5.0


def busy():
    """Seconds on the CPU, of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def call(n, b, epochs, engine, jobs, threads=1, seeds=SEEDS):
    """(seconds, seconds on the CPU) of a sweep; the start of its processes is in both."""
    views = load_views("digits")
    with tempfile.TemporaryDirectory() as folder:
        used, start = busy(), time.perf_counter()
        with executor_for(jobs) as executor:
            sweep = run_sweep(
                views, n, b, seeds=seeds, epochs=epochs, engine=engine, executor=executor,
                threads=threads, out=Path(folder) / "sweep.zarr", progress=False,
            )  # fmt: skip
            seconds = time.perf_counter() - start
        assert bool((sweep.outcome == 1).all())
    return seconds, busy() - used


def main():
    """Call every way in turn; print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    n, b, epochs = (QUICK_N, QUICK_B, 2) if asked.quick else (N, B, asked.epochs)
    call(1, 0.5, 1, "single", 1, seeds=1)  # what is compiled or loaded once
    tried = {t: call((1, 4), 0.5, 1, "single", 1, t, 2)[0] for t in (1, asked.jobs)}
    threads = min(tried, key=tried.get)
    ways = {
        f"stacked, {asked.jobs} processes": ("stacked", asked.jobs),
        "stacked, here": ("stacked", 1),
        f"one by one, here, threads {threads}": ("single", 1, threads),
        f"one by one, {asked.jobs} processes": ("single", asked.jobs),
    }
    times = {way: [] for way in ways}
    for _ in range(asked.rounds):
        for way, arguments in ways.items():
            times[way].append(call(n, b, epochs, *arguments))
            print(f"{way}: {times[way][-1][0]:.1f} s, {times[way][-1][1]:.1f} s busy", flush=True)
    rows = []
    for way, found in times.items():
        seconds, on_cpu = map(statistics.median, zip(*found, strict=True))
        rows.append({"way": way, "seconds": seconds, "busy": on_cpu})
    for row in rows:
        row["times_quicker"] = rows[2]["seconds"] / row["seconds"]
        row["times_less_busy"] = rows[2]["busy"] / row["busy"]
        print(json.dumps(row))
    met = rows[0]["times_quicker"] >= GOAL
    print(f"stacked in {asked.jobs} processes at least {GOAL:g} x quicker: {met}")
    if asked.out:
        machine = timing.machine()
        machine["versions"]["torch"] = torch.__version__
        settings = {"n": n, "b": b, "seeds": SEEDS, "epochs": epochs, "rounds": asked.rounds}
        report = {"machine": machine, "settings": settings, "rows": rows}
        asked.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
