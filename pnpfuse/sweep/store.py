"""Where finished points are kept: in memory, and in a Zarr store that survives a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numcodecs import Zstd
from numpy.typing import NDArray

from pnpfuse.lock import Lock
from pnpfuse.sweep.dataset import DIVERGED, FINISHED, NOT_RUN, OUTCOME
from pnpfuse.sweep.grid import Block
from pnpfuse.sweep.measures import Measured
from pnpfuse.sweep.plan import BLOCK, ENGINE, SETTINGS, Plan
from pnpfuse.sweep.reading import is_sweep, over_points, read_sweep


class Store:
    """The points of a sweep, in memory and, with a path, in a Zarr store.

    A chunk of the store holds one block of points. The chunk of `outcome` is written after those
    of all other variables: a block counts as finished once it is there, and a stop at whatever
    moment leaves it finished or not begun.

    Parameters
    ----------
    dataset : the template, or what was finished before
    path : of the Zarr store, None for memory alone
    lock : on the store
    """

    def __init__(self, dataset: xr.Dataset, path: Path | None = None, lock: Lock | None = None):
        self.dataset = dataset
        self.path = path
        self._lock = lock
        self._arrays: dict[str, Any] = {}

    def finished(self, block: Block) -> bool:
        """Whether all points of a block are there."""
        return bool((self.dataset[OUTCOME].values[block.place] != NOT_RUN).all())

    def put(self, block: Block, results: Sequence[Measured | Exception]) -> None:
        """Keep the results of a block's points, in the order of `Grid.points`.

        Raises
        ------
        OSError
            where they cannot be written; the block then counts as not begun
        """
        codes = self.dataset[OUTCOME].values
        shape = codes[block.place].shape
        for name in set(over_points(self.dataset)) - {OUTCOME}:
            target = self.dataset[name].values
            inner = target.shape[3:]
            target[block.place] = _joined(results, name, inner).reshape(shape + inner)
            self._write(name, block, target[block.place])
        outcome = [DIVERGED if isinstance(one, Exception) else FINISHED for one in results]
        found = np.array(outcome, np.int8).reshape(shape)
        self._write(OUTCOME, block, found)
        codes[block.place] = found

    def done(self) -> int:
        """How many points are finished."""
        return int((self.dataset[OUTCOME].values != NOT_RUN).sum())

    def close(self) -> None:
        """Let other processes write there."""
        if self._lock is not None:
            self._lock.release()

    def _write(self, name: str, block: Block, values: NDArray) -> None:
        if self.path is None:
            return
        if not self._arrays:
            import zarr

            # Of NaN too, which a seed that diverged has: a chunk that is not there is one lost.
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._arrays = dict(zarr.open_group(self.path, mode="r+").arrays())
        self._arrays[name][block.place] = values


def store_for(
    plan: Plan, path: str | os.PathLike[str] | None, resume: bool, engine: str
) -> tuple[Store, Plan]:
    """The store of a plan, new or that of an earlier run, locked, and the plan as it goes on.

    Raises
    ------
    ValueError
        naming the first setting that differs from that of the earlier run, or for a path at which
        something else stands
    BlockingIOError
        while another run writes there
    OSError
        for a place that cannot be written
    """
    if path is None:
        return Store(plan.empty()), plan
    path = Path(path)
    if not os.path.lexists(path):
        return _new(plan, path), plan
    if not is_sweep(path):
        raise ValueError(
            f"out: {path} is there already and is no sweep's store; give another path, or remove it"
        )
    if not resume:
        return _new(plan, path), plan
    found = read_sweep(path)
    if found[OUTCOME].values.all():
        # Nothing is left to write: it may lie where nobody can.
        return Store(found, path), _same(plan, found, path, engine)
    with ExitStack() as held:
        lock = held.enter_context(_locked(path))
        found = read_sweep(path)  # again, now that nobody else goes on with it
        if found[OUTCOME].values.any():
            plan = _same(plan, found, path, engine)
            _clear(path)
            held.pop_all()
            return Store(found, path, lock), plan
    return _new(plan, path), plan  # nothing had been finished there


def _clear(path: Path) -> None:
    """Remove what killed runs have left: chunks and stores of which each was half written."""
    for draft in path.glob("*/*.partial"):
        draft.unlink(missing_ok=True)
    with Lock(path.parent, wait=True):
        _remove(*_drafts(path))


def _new(plan: Plan, path: Path) -> Store:
    """An empty store, which appears whole or not at all; in place of an older sweep."""
    template = plan.empty()
    encoding = {
        # With a checksum: a torn or altered chunk is told, and its points are made once more.
        name: {
            "chunks": plan.size + template[name].shape[3:],
            "compressors": (Zstd(level=3, checksum=True),),
        }
        for name in over_points(template)
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    draft, older = _drafts(path)
    # One at a time in the folder around it, for as long as this takes.
    with Lock(path.parent, wait=True):
        _remove(draft, older)
        try:
            # Version 2: the third has no words as coordinates yet.
            template.to_zarr(draft, encoding=encoding, zarr_format=2, consolidated=True)
            with _locked(path) if is_sweep(path) else nullcontext():
                if is_sweep(path):
                    os.replace(path, older)
                os.rename(draft, path)
        except BlockingIOError:
            raise
        except OSError as error:
            raise OSError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            _remove(draft, older)
        return Store(template, path, _locked(path))


def _drafts(path: Path) -> tuple[Path, Path]:
    """Where a store stands until it is complete, and where one that it replaces does."""
    return path.with_name(f".writing-{path.name}"), path.with_name(f".replaced-{path.name}")


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _locked(path: Path) -> Lock:
    try:
        return Lock(path)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"another run writes to {path}: wait for it, stop it, or give another out"
        ) from error


def _same(plan: Plan, dataset: xr.Dataset, path: Path, engine: str) -> Plan:
    """The plan with the blocks of the earlier run, whose settings have to be the same.

    And so has to be what follows from them alone: of a torn file Zarr may make other numbers.
    """
    saved, now = json.loads(dataset.attrs[SETTINGS]), plan.record()
    if engine == "auto":
        now[ENGINE] = saved.get(ENGINE)
    for name, (old, new) in _differences(saved, now):
        raise ValueError(
            f"{name} was {old!r} for the sweep in {path} and is {new!r} now: give the same, "
            "another out, or resume=False to begin anew"
        )
    expected = plan.empty().drop_vars(over_points(dataset), errors="ignore")
    for known, values in expected.variables.items():
        if known not in dataset or not _alike(dataset[known].values, values.values):
            raise ValueError(
                f"the sweep in {path} is damaged or of another version: its {known} is not what "
                "its settings lead to; resume=False begins anew"
            )
    return plan.resumed(saved)


def _alike(found: NDArray, expected: NDArray) -> bool:
    """The same but for what another machine rounds otherwise."""
    if found.shape != expected.shape or expected.dtype.kind != "f":
        return np.array_equal(found, expected)
    return np.allclose(found, expected, rtol=1e-6, atol=1e-9, equal_nan=True)


def _differences(
    saved: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, tuple[Any, Any]]]:
    """What is not the same, options and settings by their own names; blocks may differ."""
    found = []
    for name in dict.fromkeys([*now, *saved]):
        old, new = saved.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new)
        elif old != new and name != BLOCK:
            found.append((name, (old, new)))
    return found


def _joined(results: Sequence[Measured | Exception], name: str, shape: tuple[int, ...]) -> NDArray:
    """(points, ...) of a variable; NaN where a point diverged."""
    gone = np.full(shape, np.nan)
    return np.stack([gone if isinstance(one, Exception) else one[name] for one in results])
