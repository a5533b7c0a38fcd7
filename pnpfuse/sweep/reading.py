"""A sweep's store as it is read: finished or not, whole or damaged."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from pnpfuse.sweep.dataset import FINISHED, NOT_RUN, OUTCOME, POINT, TITLE
from pnpfuse.sweep.plan import BLOCK, SETTINGS

ATTRIBUTES = ".zattrs"


def is_sweep(path: str | os.PathLike[str]) -> bool:
    """Whether a sweep's store is there."""
    try:
        attrs = json.loads((Path(path) / ATTRIBUTES).read_bytes())
        return attrs["title"] == TITLE and SETTINGS in attrs
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_sweep(path: str | os.PathLike[str]) -> xr.Dataset:
    """The Dataset of a sweep, finished or not.

    A block with a chunk that cannot be read counts as not run, and so does a point whose numbers
    are gone: going on with the sweep makes them once more.

    Raises
    ------
    ValueError
        for a path that holds none
    """
    if not is_sweep(path):
        raise ValueError(f"{path} is no sweep's store")
    try:
        with xr.open_zarr(path) as opened:
            try:
                dataset = opened.load()
            except Exception:  # of a codec: what it raises for a torn chunk is its own matter
                dataset = _legible(opened)
        json.loads(dataset.attrs[SETTINGS])
        gone = dataset["accuracy"].isnull().any("condition") & (dataset[OUTCOME] == FINISHED)
        dataset[OUTCOME].values[gone.values] = NOT_RUN
    except Exception as error:  # see above
        raise ValueError(
            f"the sweep in {path} is damaged and cannot be read ({error}); resume=False begins anew"
        ) from error
    return dataset


def _legible(opened: xr.Dataset) -> xr.Dataset:
    """What can be read of a store, block by block."""
    saved = json.loads(opened.attrs[SETTINGS])
    dataset = opened.copy()
    over_points = [name for name, var in opened.data_vars.items() if var.dims[:3] == POINT]
    for name in over_points:
        empty = NOT_RUN if name == OUTCOME else np.nan
        dataset[name] = opened[name].copy(
            data=np.full(opened[name].shape, empty, opened[name].dtype)
        )
    steps = dict(zip(POINT, saved[BLOCK], strict=True))
    starts = [range(0, opened.sizes[dim], step) for dim, step in steps.items()]
    for corner in product(*starts):
        block = {
            dim: slice(start, start + steps[dim]) for dim, start in zip(POINT, corner, strict=True)
        }
        try:
            found = opened[over_points].isel(block).load()
        except Exception:  # see above
            continue
        for name in over_points:
            dataset[name][block] = found[name]
    return dataset.load()
