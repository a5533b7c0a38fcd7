"""A sweep's store as it is read: finished or not, whole or damaged."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from pnpfuse.sweep.dataset import NOT_RUN, OUTCOME, POINT, TITLE
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

    A block with a chunk that cannot be read, or is gone, counts as not run: going on with the
    sweep makes it once more.

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
        for block in _blocks(dataset):
            if not all(chunk.is_file() for chunk in _chunks(path, dataset, block)):
                dataset[OUTCOME].values[block] = NOT_RUN
    except Exception as error:  # see above
        raise ValueError(
            f"the sweep in {path} is damaged and cannot be read ({error}); resume=False begins anew"
        ) from error
    return dataset


def _legible(opened: xr.Dataset) -> xr.Dataset:
    """What can be read of a store, block by block."""
    dataset = opened.copy()
    names = over_points(opened)
    for name in names:
        empty = NOT_RUN if name == OUTCOME else np.nan
        dataset[name] = opened[name].copy(
            data=np.full(opened[name].shape, empty, opened[name].dtype)
        )
    for block in _blocks(opened):
        place = dict(zip(POINT, block, strict=True))
        try:
            found = opened[names].isel(place).load()
        except Exception:  # see above
            continue
        for name in names:
            dataset[name][place] = found[name]
    return dataset.load()


def over_points(dataset: xr.Dataset) -> list[str]:
    """The variables that are measured at every point."""
    return [str(name) for name, one in dataset.data_vars.items() if one.dims[:3] == POINT]


def _blocks(dataset: xr.Dataset) -> list[tuple[slice, ...]]:
    """Where the blocks lie that a sweep is stored in, along (n, b, seed)."""
    steps = json.loads(dataset.attrs[SETTINGS])[BLOCK]
    along = [
        [slice(start, start + step) for start in range(0, dataset.sizes[dim], step)]
        for dim, step in zip(POINT, steps, strict=True)
    ]
    return list(product(*along))


def _chunks(
    path: str | os.PathLike[str], dataset: xr.Dataset, block: tuple[slice, ...]
) -> list[Path]:
    """The files of a block, as version 2 of Zarr names them."""
    index = [part.start // (part.stop - part.start) for part in block]
    return [
        Path(path, name, ".".join(map(str, index + [0] * (dataset[name].ndim - len(index)))))
        for name in over_points(dataset)
    ]
