"""The Dataset of a sweep before anything is trained: empty, and what is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse.evaluation import VARIABLES as SCORES
from pnpfuse.evaluation import condition_names
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.widths import split_widths
from pnpfuse.mapping import hyperparameters
from pnpfuse.sweep.grid import Grid
from pnpfuse.weighting import TASK

NOT_RUN, FINISHED, DIVERGED = 0, 1, 2
OUTCOME = "outcome"
POINT = ("n", "b", "seed")
TITLE = "models over n x b x seed, test rows"

# {variable: (its dimensions beside those of the grid, what it is)}
_SCORES = {name: (("condition",), f"{said}, test rows") for name, said in SCORES.items()}
_LOSSES = {"training_loss": (("loss_name",), "loss in the last epoch, mean over the training rows")}
_PARTS = {
    "gradient_cosine": (
        ("auxiliary", "modality"),
        "cosine between the gradients of the task's and of an auxiliary loss, encoder output",
    ),
    "conflict_rate": (("auxiliary", "modality"), "share of negative cosines, of the rows with one"),
    "effective_rank": (("modality",), "effective rank of the own shared part, test rows"),
    "rank": (("modality",), "numerical rank of the own shared part, test rows"),
}
_DIMS = {
    "n": "magnification factor",
    "b": "dissociation boundary as a ratio",
    "seed": "seed of weights, shuffling and dropout",
    "condition": "which modalities are present",
    "loss_name": "loss, before weighting",
    "auxiliary": "loss beside the task's",
    "modality": "modality",
}
_CODES = {
    "flag_values": [NOT_RUN, FINISHED, DIVERGED],
    "flag_meanings": "not_run finished diverged",
}


def template(grid: Grid, model: FusionModel, missing: str, voltage: float) -> xr.Dataset:
    """NaN for everything that is to be measured; the rank condition and physics' own b.

    Parameters
    ----------
    grid : the points
    model : untrained, with any n and b
    missing : as for `evaluate`
    voltage : of the cells in which physics puts b, electrodes at +-, kB T/e
    """
    parts = isinstance(model.block, Exchange)
    coords: dict[str, list] = {
        **{name: list(values) for name, values in grid._asdict().items()},
        "condition": condition_names(missing, model.dims),
        "loss_name": [TASK, *model.loss_weights],
    }
    if parts:
        coords |= {"auxiliary": list(model.loss_weights), "modality": list(model.dims)}
    variables: dict[str, Any] = {
        name: (
            (*POINT, *dims),
            np.full([len(coords[dim]) for dim in (*POINT, *dims)], np.nan),
            _about(said),
        )
        for name, (dims, said) in (_SCORES | _LOSSES | (_PARTS if parts else {})).items()
    }
    codes = np.full(grid.shape, NOT_RUN, np.int8)
    variables[OUTCOME] = (POINT, codes, _about("what became of the point") | _CODES)
    if parts:
        variables |= _known(grid, model.block.dims, voltage)
    return xr.Dataset(
        variables, {dim: (dim, values, _about(_DIMS[dim])) for dim, values in coords.items()}
    )


def _known(grid: Grid, dims: Mapping[str, int], voltage: float) -> dict[str, Any]:
    """What follows from the widths `dims` of the encoded modalities alone."""
    limits = np.empty((len(grid.n), len(grid.b), len(dims)))
    for i, n in enumerate(grid.n):
        for j, b in enumerate(grid.b):
            widths = split_widths(dims, n, b)
            limits[i, j] = [min(cut, widths.common) for cut in widths.boundary.values()]
    cells = [hyperparameters(dims, n=n, voltage=voltage) for n in grid.n]
    where = f"cell of n Debye lengths, electrodes at -+{voltage:g} kB T/e"
    return {
        "width": ("modality", list(dims.values()), _about("features l_k that enter the block")),
        "rank_limit": (
            ("n", "b", "modality"), limits,
            _about("min(floor(b n l_k), l*), which bounds the rank of a shared part"),
        ),
        "shared_width": ((), float(min(dims.values())), _about("width l* of a shared part")),
        "physical_b": (
            ("n", "modality"), [[row[1] for row in cell.rows()] for cell in cells],
            _about(f"interface over length, {where}"),
        ),
        "physical_separation": (
            ("n", "modality"), [[row[2] for row in cell.rows()] for cell in cells],
            _about(f"share of the worse separated species on its own side, {where}"),
        ),
    }  # fmt: skip


def _about(long_name: str) -> dict[str, Any]:
    return {"units": "1", "long_name": long_name}
