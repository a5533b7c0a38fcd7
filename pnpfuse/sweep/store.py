"""Where finished points are kept: in memory, and in a Zarr store that survives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.storage import write_folder_whole
from pnpfuse.sweep.dataset import DIVERGED, FINISHED, NOT_RUN, OUTCOME
from pnpfuse.sweep.grid import Block
from pnpfuse.sweep.measures import Measured

SETTINGS = "settings"  # attribute with everything that the numbers follow from
TITLE = "accuracy over n x b x seed"


class Store:
    """The points of a sweep, in memory and, with a path, in a Zarr store.

    A chunk of the store holds one block of points. The chunk of `outcome` is written after those
    of all other variables: a block counts as finished once it is there, and a stop at whatever
    moment leaves it finished or not begun.

    Parameters
    ----------
    dataset : the template, or what was finished before
    path : of the Zarr store, None for memory alone
    """

    def __init__(self, dataset: xr.Dataset, path: Path | None):
        self.dataset = dataset
        self.path = path
        self._arrays: dict[str, Any] = {}
        if path is not None:
            import zarr

            self._arrays = dict(zarr.open_group(path, mode="r+").arrays())

    def finished(self, block: Block) -> bool:
        """Whether all points of a block are there."""
        return bool((self.dataset[OUTCOME].values[block.place] != NOT_RUN).all())

    def put(self, block: Block, results: Sequence[Measured | Exception]) -> None:
        """Keep the results of a block's points, in the order of `Grid.points`."""
        shape = self.dataset[OUTCOME].values[block.place].shape
        outcome = np.array([_outcome(one) for one in results], np.int8).reshape(shape)
        for name in _measured(results):
            target = self.dataset[name].values
            target[block.place] = _joined(results, name, target.shape[3:]).reshape(
                shape + target.shape[3:]
            )
            self._write(name, block, target[block.place])
        self._write(OUTCOME, block, outcome)
        self.dataset[OUTCOME].values[block.place] = outcome

    def done(self) -> int:
        """How many points are finished."""
        return int((self.dataset[OUTCOME].values != NOT_RUN).sum())

    def _write(self, name: str, block: Block, values: NDArray) -> None:
        if self.path is not None:
            self._arrays[name][block.place] = values


def new_store(
    template: xr.Dataset, size: tuple[int, int, int], path: str | os.PathLike[str] | None
) -> Store:
    """An empty store; on disk it appears whole or not at all, and replaces an older sweep."""
    if path is None:
        return Store(template, None)
    encoding = {
        name: {"chunks": size + variable.shape[3:]}
        for name, variable in template.data_vars.items()
        if variable.dims[:3] == template[OUTCOME].dims
    }
    whole = write_folder_whole(
        path,
        # Version 2: the third has no words as coordinates yet.
        lambda draft: template.to_zarr(draft, encoding=encoding, zarr_format=2, consolidated=True),
    )
    return Store(template, whole)


def open_store(path: str | os.PathLike[str], settings: Mapping[str, Any]) -> Store:
    """The store of an earlier run with the same settings.

    Raises
    ------
    ValueError
        naming the first setting that differs, or for a path that holds no sweep
    """
    dataset = read_sweep(path)
    saved = json.loads(dataset.attrs[SETTINGS])
    for name, now in json.loads(json.dumps(settings)).items():
        if saved.get(name) != now:
            raise ValueError(
                f"{name} was {saved.get(name)!r} for the sweep in {path} and is {now!r} now: give "
                "the same, another out, or resume=False to begin anew"
            )
    return Store(dataset, Path(path))


def read_sweep(path: str | os.PathLike[str]) -> xr.Dataset:
    """The Dataset of a sweep, finished or not; ValueError for a path that holds none."""
    try:
        with xr.open_zarr(path) as opened:
            dataset = opened.load()
        json.loads(dataset.attrs[SETTINGS])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"out: {path} is there already and holds no sweep that can be read ({error}); give "
            "another path"
        ) from error
    return dataset


def _outcome(result: Measured | Exception) -> int:
    return DIVERGED if isinstance(result, Exception) else FINISHED


def _measured(results: Sequence[Measured | Exception]) -> list[str]:
    return next((list(one) for one in results if not isinstance(one, Exception)), [])


def _joined(results: Sequence[Measured | Exception], name: str, shape: tuple[int, ...]) -> NDArray:
    """(points, ...) of a variable; NaN where a point diverged."""
    gone = np.full(shape, np.nan)
    return np.stack([gone if isinstance(one, Exception) else one[name] for one in results])
