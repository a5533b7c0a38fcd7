"""The Dataset of a sweep before anything is trained: empty, and what is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse.evaluation import VARIABLES as SCORES
from pnpfuse.evaluation import condition_names
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.mapping import hyperparameters
from pnpfuse.sweep.grid import Grid
from pnpfuse.weighting import TASK

NOT_RUN, FINISHED, DIVERGED = 0, 1, 2
OUTCOME = "outcome"
POINT = ("n", "b", "seed")

# {variable: (its dimensions beside those of the grid, what it is)}
_SCORES = {name: (("condition",), f"{said}, test rows") for name, said in SCORES.items()}
_LOSSES = {"training_loss": (("loss_name",), "loss in the last epoch, mean over the training rows")}
_PARTS = {
    "gradient_cosine": (
        ("auxiliary", "modality"),
        "cosine between the gradients of the task's and of an auxiliary loss, encoder output",
    ),
    "conflict_rate": (("auxiliary", "modality"), "share of training rows with a negative cosine"),
    "effective_rank": (("modality",), "effective rank of the own shared part, test rows"),
    "rank": (("modality",), "numerical rank of the own shared part, test rows"),
}
_CODES = {
    "flag_values": [NOT_RUN, FINISHED, DIVERGED],
    "flag_meanings": "not_run finished diverged",
}


def template(grid: Grid, models: Sequence[FusionModel], missing: str, voltage: float) -> xr.Dataset:
    """NaN for everything that is to be measured; the rank condition and physics' own b.

    Parameters
    ----------
    grid : the points
    models : untrained, in the order of n, for each n in the order of b; only their widths count
    missing : as for `evaluate`
    voltage : of the cells in which physics puts b, electrodes at +-, kB T/e
    """
    model = models[0]
    parts = isinstance(model.block, Exchange)
    inner: dict[str, list[str]] = {
        "condition": condition_names(missing, model.dims),
        "loss_name": [TASK, *model.loss_weights],
    }
    if parts:
        inner |= {"auxiliary": list(model.loss_weights), "modality": list(model.dims)}
    variables: dict[str, Any] = {}
    for name, (dims, said) in (_SCORES | _LOSSES | (_PARTS if parts else {})).items():
        shape = (*grid.shape, *(len(inner[dim]) for dim in dims))
        variables[name] = ((*POINT, *dims), np.full(shape, np.nan), _about(said))
    variables[OUTCOME] = (
        POINT, np.full(grid.shape, NOT_RUN, np.int8), _about("what became of the point") | _CODES
    )  # fmt: skip
    if parts:
        variables |= _known(grid, models, voltage)
    coords = {
        "n": ("n", list(grid.n), _about("magnification factor")),
        "b": ("b", list(grid.b), _about("dissociation boundary as a ratio")),
        "seed": ("seed", list(grid.seed), _about("seed of weights, shuffling and dropout")),
        **{dim: (dim, values, _about(dim.replace("_", " "))) for dim, values in inner.items()},
    }
    return xr.Dataset(variables, coords)


def _known(grid: Grid, models: Sequence[FusionModel], voltage: float) -> dict[str, Any]:
    """The bound on the shared part's rank (n, b, modality), and physics' boundary (n, modality)."""
    limits, boundaries, separations = [], [], []
    for model in models:
        block = model.block
        assert isinstance(block, Exchange)
        common, cut = block.widths.common, block.widths.boundary
        limits.append([min(cut[m], common) for m in model.dims])
    for n in grid.n:
        cells = hyperparameters(models[0].block.dims, n=n, voltage=voltage)
        boundaries.append(_each(cells.b))
        separations.append(_each(cells.separation))
    where = f"cell of n Debye lengths at {voltage:g} kB T/e"
    widths = models[0].block.dims
    return {
        "width": ("modality", list(widths.values()), _about("l_k, features that enter the block")),
        "rank_limit": (
            ("n", "b", "modality"),
            np.reshape(limits, (*grid.shape[:2], -1)),
            _about("min(floor(b n l_k), l*), which bounds the rank of the shared part"),
        ),
        "physical_b": (("n", "modality"), boundaries, _about(f"interface over length, {where}")),
        "physical_separation": (
            ("n", "modality"), separations, _about(f"share on its own side, {where}")
        ),
    }  # fmt: skip


def _each(values: Any) -> list[float]:
    assert isinstance(values, Mapping)
    return list(values.values())


def _about(long_name: str) -> dict[str, Any]:
    return {"units": "1", "long_name": long_name}
