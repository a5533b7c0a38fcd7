"""Sweeps whose values are planted, as `run_sweep` would hand them out."""

from functools import lru_cache

import numpy as np

from pnpfuse.fusion.arguments import check_seeds
from pnpfuse.sweep.dataset import FINISHED
from pnpfuse.sweep.grid import make_grid
from pnpfuse.sweep.plan import make_plan
from pnpfuse.sweep.task import Task
from pnpfuse.views import Views

TWO = {"image": 20, "text": 5}
THREE = {"pixels": 12, "fourier": 8, "profiles": 4}
SIX = {"pix": 24, "fou": 20, "fac": 16, "zer": 12, "kar": 8, "mor": 4}


def planted_sweep(
    accuracy=lambda n, b: 0.8, scatter=0.01, *, dims=TWO, n=(0.5, 1, 2, 4),
    b=(0.1, 0.3, 0.5, 0.7, 0.9), seeds=3, missing="each", random=0,
):  # fmt: skip
    """accuracy(n, b) and a Gaussian scatter of its own for every value, ranks at their bounds."""
    grid = make_grid(n, b, check_seeds(seeds))
    sweep = _empty(tuple(dims.items()), grid, missing).copy(deep=True)
    rng = np.random.default_rng(random)
    for values in sweep.data_vars.values():
        if values.dims[:3] == ("n", "b", "seed") and values.dtype == float:
            values.values[:] = rng.normal(0.5, 0.05, values.shape)
    mean = accuracy(sweep["n"], sweep["b"])
    noise = rng.normal(0, scatter, sweep["accuracy"].shape)
    sweep["accuracy"] = (0 * sweep["accuracy"] + mean + noise).transpose(*sweep["accuracy"].dims)
    sweep["rank"] = 0.0 * sweep["rank"] + sweep["rank_limit"]
    sweep["outcome"][:] = FINISHED
    return sweep


@lru_cache
def _empty(dims, grid, missing):
    """The Dataset of a real plan before its first point."""
    rows = np.ones((4, 1), np.float32)
    views = Views(
        {name: rows.repeat(width, axis=1) for name, width in dims},
        labels=[0, 1, 0, 1], split=[0, 0, 1, 1], class_names=("a", "b"), name="planted",
    )  # fmt: skip
    task = Task("rpmr", {"fill": "mean"}, 30, missing, 1, {"batch_size": 64})
    return make_plan(views, grid, task, 20.0, "auto").empty()
