"""Many models trained at once beside the plain loop of `pnpfuse.fit`, on the digits.

    python benchmarks/stacked.py [--rounds 3] [--out stacked.json]
    python benchmarks/stacked.py --quick      # one n, few epochs, one thread, no file

270 rpmr models, six n, nine b, five seeds, trained n by n. In every round each way is called for
each n in turn, so that whatever else the machine does falls on all of them. The loop takes
`LOOPED` models of the n and its time counts for all in proportion, since it takes each by itself;
the stacked training takes all. Ways: one thread, two threads, two processes of one thread each,
started and warmed up before; and a GPU if there is one.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import timing  # before torch: sets one thread
import torch

from pnpfuse import create_model, fit, load_views
from pnpfuse.stacked import fit_stacked, stacks

N = (1, 1.5, 2, 4, 6, 8)
B = tuple(i / 10 for i in range(1, 10))
SEEDS = 5
LOOPED = 4
GOAL = 5.0


def made(points, device="cpu"):
    """New models and the views that they are for."""
    views, found = load_views("digits"), []
    for n, b, seed in points:
        torch.manual_seed(seed)
        found.append(create_model("rpmr", views.dims, views.classes, n=n, b=b).to(device))
    return found, views


def loop(points, epochs, threads=1, device="cpu"):
    """Train one by one; seconds."""
    torch.set_num_threads(threads)
    models, views = made(points, device)
    start = time.perf_counter()
    for model, (*_, seed) in zip(models, points, strict=True):
        fit(model, views, seed=seed, epochs=epochs, device=device, progress=False)
    return time.perf_counter() - start


def together(points, epochs, threads=1, device="cpu"):
    """Train stacked; seconds."""
    torch.set_num_threads(threads)
    models, views = made(points, device)
    seeds = [seed for *_, seed in points]
    start = time.perf_counter()
    fit_stacked(models, views, seeds=seeds, epochs=epochs, device=device, progress=False)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def shared_out(pool, train, parts, epochs):
    """Seconds for parts of the points in two processes."""
    start = time.perf_counter()
    list(pool.map(train, parts, [epochs] * len(parts)))
    return time.perf_counter() - start


def ways(pool):
    """{way: (points, epochs) -> seconds}."""

    def by_stacks(points, epochs):
        parts = [[points[i] for i in one] for one in stacks(made(points)[0])]
        return shared_out(pool, together, parts, epochs)

    found = {
        "loop, 1 thread": lambda points, epochs: loop(points, epochs, 1),
        "loop, 2 threads": lambda points, epochs: loop(points, epochs, 2),
        "loop, 2 processes": lambda points, epochs: shared_out(
            pool, loop, [points[::2], points[1::2]], epochs
        ),
        "stacked, 1 thread": lambda points, epochs: together(points, epochs, 1),
        "stacked, 2 threads": lambda points, epochs: together(points, epochs, 2),
        "stacked, 2 processes": by_stacks,
    }
    if torch.cuda.is_available():
        found["loop, GPU"] = lambda points, epochs: loop(points, epochs, 1, "cuda")
        found["stacked, GPU"] = lambda points, epochs: together(points, epochs, 1, "cuda")
    return found


def measured(calls, epochs, rounds, sizes):
    """{way: {n: median seconds for the models of that n}}."""
    taken = {way: {n: [] for n in sizes} for way in calls}
    for _ in range(rounds):
        for n in sizes:
            points = [(n, b, seed) for b in B for seed in range(SEEDS)]
            few = points[:: len(points) // LOOPED][:LOOPED]
            for way, call in calls.items():
                part = few if way.startswith("loop") else points
                taken[way][n].append(call(part, epochs) * len(points) / len(part))
    return {
        way: {n: statistics.median(seconds) for n, seconds in by_n.items()}
        for way, by_n in taken.items()
    }


def ratios(seconds):
    """How many times as fast stacked is, against the best of the loop's own ways of its kind."""
    total = {way: sum(by_n.values()) for way, by_n in seconds.items()}
    loops = {way: taken for way, taken in total.items() if way.startswith("loop")}
    two = loops.pop("loop, 2 processes", None)
    best = min(loops, key=loops.__getitem__)
    found = {
        f"{way} against {best}": total[best] / taken
        for way, taken in total.items()
        if way.startswith("stacked")
    }
    if two is not None:
        way = "stacked, 2 processes"
        found[f"{way} against loop, 2 processes"] = two / total[way]
    return found


def main():
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="one n, few epochs, no file")
    parser.add_argument("--out", default=str(Path(__file__).with_name("stacked.json")))
    given = parser.parse_args()
    epochs, sizes = (6, (4,)) if given.quick else (given.epochs, N)
    with ProcessPoolExecutor(
        2, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        calls = ways(pool)
        if given.quick:
            calls = {way: call for way, call in calls.items() if way.endswith("1 thread")}
        for call in calls.values():
            call([(1, 0.5, 0), (1, 0.5, 1)], 1)
        seconds = measured(calls, epochs, given.rounds, sizes)
    found = ratios(seconds)
    for way, by_n in seconds.items():
        print(f"{way:22}{sum(by_n.values()):8.1f} s  ", {n: round(t, 2) for n, t in by_n.items()})
    for what, ratio in found.items():
        print(f"{ratio:6.1f} x  {what}")
    if not given.quick:
        report = {
            "machine": timing.machine(),
            "models": len(N) * len(B) * SEEDS,
            "epochs": epochs,
            "rounds": given.rounds,
            "looped": LOOPED * len(N),
            "seconds": seconds,
            "ratios": found,
            "goal": GOAL,
        }
        Path(given.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
