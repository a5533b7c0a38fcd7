"""Sweeps whose values are planted, as `run_sweep` would hand them out."""

import json
from functools import lru_cache

import numpy as np

from pnpfuse import create_model
from pnpfuse.provenance import provenance
from pnpfuse.sweep.dataset import FINISHED, template
from pnpfuse.sweep.grid import make_grid

TWO = {"image": 20, "text": 5}
THREE = {"pixels": 12, "fourier": 8, "profiles": 4}
SIX = {"pix": 24, "fou": 20, "fac": 16, "zer": 12, "kar": 8, "mor": 4}


def planted_sweep(
    accuracy=lambda n, b: 0.8, scatter=0.01, *, dims=TWO, n=(0.5, 1, 2, 4),
    b=(0.1, 0.3, 0.5, 0.7, 0.9), seeds=3, missing="each", random=0,
):  # fmt: skip
    """accuracy(n, b) and a Gaussian scatter of its own for every value, ranks at their bounds."""
    grid = make_grid(n, b, seeds)
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
    record = {
        "data": "planted", "model": "rpmr", "options": {}, **grid._asdict(), "epochs": 30,
        "missing": missing, "voltage": 20.0, "settings": {"batch_size": 64},
    }  # fmt: skip
    sweep.attrs = provenance("accuracy over n x b x seed", settings=json.dumps(record))
    return sweep


@lru_cache
def _empty(dims, grid, missing):
    models = [create_model("rpmr", dict(dims), 3, n=n, b=b) for n in grid.n for b in grid.b]
    return template(grid, models, missing, 20.0)
