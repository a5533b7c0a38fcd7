"""Sweeps killed at random moments, each in a process of its own: what `test_sweep_store` runs.

usage: kill_sweep.py FOLDER KILLS DATA N B SEEDS EPOCHS
"""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import zarr  # noqa: F401  here, so that a sweep need not

from pnpfuse import Views, hyperparameters, load_views, run_sweep
from pnpfuse.sweep import run
from pnpfuse.sweep.store import Store

DIMS = {"a": 9, "b": 6}


def small():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    features = {m: rng.normal(size=(120, d)) + np.eye(3, d)[labels] for m, d in DIMS.items()}
    return Views.from_arrays(features, labels)


def sweep(views, out, log, n, b, seeds, epochs):
    """A sweep in a process of its own, which notes what it begins and what it has finished."""
    child = os.fork()
    if child:
        return child
    put, work = Store.put, run.work

    def note(word, points):
        with open(log, "a") as file:
            file.writelines(f"{word} {point}\n" for point in points)

    def noted_work(task, views, points):
        note("begun", points)
        return work(task, views, points)

    def noted_put(store, block, results):
        put(store, block, results)
        ns, bs, ss = (store.dataset[dim].values.tolist() for dim in ("n", "b", "seed"))
        note("kept", [(ns[block.n], bs[j], ss[k]) for j in block.b for k in block.seed])

    run.work, Store.put = noted_work, noted_put
    status = 1
    try:
        run_sweep(views, n, b, seeds=seeds, epochs=epochs, out=out)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main(folder, kills, data, n, b, seeds, epochs):
    folder, random_ = Path(folder), random.Random(0)
    views = small() if data == "small" else load_views(data)
    values = [[float(x) for x in text.split(",")] for text in (n, b)]
    arguments = *values, int(seeds), int(epochs)
    hyperparameters(views.dims)  # what is compiled, before the processes divide
    begun = time.monotonic()
    _, status = os.waitpid(sweep(views, folder / "whole.zarr", folder / "whole.log", *arguments), 0)
    took = time.monotonic() - begun
    assert status == 0
    killed = folder / "killed.zarr", folder / "killed.log"
    for _ in range(int(kills)):
        child = sweep(views, *killed, *arguments)
        time.sleep(random_.uniform(0, took / 2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    _, status = os.waitpid(sweep(views, *killed, *arguments), 0)
    assert status == 0
    print(f"undisturbed {took:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
