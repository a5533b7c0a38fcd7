"""A sweep from start to end: plan, resume, hand out, keep."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any

import xarray as xr
from tqdm.auto import tqdm

from pnpfuse.checkpoints import fingerprint, told_apart
from pnpfuse.comparison import check_executor, check_settings
from pnpfuse.evaluation import check_conditions, check_views, conditions
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.methods import METHODS
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import list_models, plain
from pnpfuse.provenance import provenance
from pnpfuse.sweep.dataset import template
from pnpfuse.sweep.grid import Block, Grid, make_grid
from pnpfuse.sweep.store import SETTINGS, TITLE, Store, new_store, open_store
from pnpfuse.sweep.task import Task, untrained, work
from pnpfuse.views import Views, check_is_views

# Tasks handed to an executor at a time: enough for every worker, not all of a large sweep.
IN_FLIGHT = 256


class SweepError(RuntimeError):
    """Some blocks failed; the points of all others are kept."""


def run_sweep(
    views: Views,
    n: float | Iterable[float],
    b: float | Iterable[float],
    *,
    seeds: int | Iterable[int],
    model: str = "rpmr",
    epochs: int = 30,
    missing: str = "each",
    voltage: float = 20.0,
    options: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = True,
    threads: int = 1,
    progress: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """Train a model at every (n, b, seed) and measure it."""
    views, grid = check_is_views(views), make_grid(n, b, seeds)
    epochs, threads = check_count("epochs", epochs), check_count("threads", threads)
    options, settings = plain(dict(options or {})), plain(settings)
    check_settings(settings)
    check_executor(executor)
    task = Task(model, dict(options), views, [], epochs, missing, threads, settings)
    models = _models(task, grid)
    size = (1, 1, 1)
    record = _record(task, grid, voltage, size)
    if out is not None and resume and os.path.lexists(out):
        store = open_store(out, record)
    else:
        dataset = template(grid, models, missing, voltage)
        dataset.attrs = provenance(
            TITLE,
            outcome="a point each: see the variable outcome",
            **{SETTINGS: json.dumps(record)},
        )
        store = new_store(dataset, size, out)
    left = [block for block in grid.blocks(size) if not store.finished(block)]
    tasks = ((block, task._replace(points=grid.points(block))) for block in left)
    failures: dict[Block, BaseException] = {}
    outcomes = _here(tasks) if executor is None else _elsewhere(tasks, executor)
    with tqdm(
        total=store.dataset["outcome"].size, initial=store.done(), unit="point", smoothing=0,
        disable=None if progress else True,
    ) as bar:  # fmt: skip
        for block, outcome in outcomes:
            if isinstance(outcome, BaseException):
                failures[block] = outcome
                continue
            store.put(block, outcome)
            bar.update(len(outcome))
    if failures:
        raise SweepError(_named(failures, grid, store))
    return store.dataset


def _models(task: Task, grid: Grid) -> list[FusionModel]:
    """An untrained model of every (n, b), after a check that each can be trained and measured."""
    if task.model not in METHODS or not {"n", "b"} <= set(METHODS[task.model].block_options):
        able = [name for name in list_models() if {"n", "b"} <= set(METHODS[name].block_options)]
        raise ValueError(f"model must have the options n and b; found {task.model!r}, take {able}")
    models = [untrained(task, n, b, 0) for n in grid.n for b in grid.b]
    check_views(models[0], task.views, "train")
    test = check_views(models[0], task.views, "test")
    check_conditions(test, conditions(task.missing, task.views.dims))
    return models


def _record(task: Task, grid: Grid, voltage: float, size: tuple[int, int, int]) -> dict[str, Any]:
    """Everything that the numbers follow from, as JSON holds it."""
    settings = {
        name: told_apart(value) if callable(value) else value
        for name, value in task.settings.items()
    }
    return {
        "data": task.views.name,
        "views": fingerprint(task.views),
        "model": task.model,
        "options": task.options,
        **grid._asdict(),
        "epochs": task.epochs,
        "missing": task.missing,
        "voltage": voltage,
        "settings": settings,
        "block": size,
    }


def _here(tasks: Iterator[tuple[Block, Task]]) -> Iterator[tuple[Block, Any]]:
    for block, task in tasks:
        try:
            yield block, work(task)
        except Exception as error:  # told at the end, after the other blocks
            yield block, error


def _elsewhere(
    tasks: Iterator[tuple[Block, Task]], executor: Executor
) -> Iterator[tuple[Block, Any]]:
    """Outcomes as they arrive, with so many tasks handed out at a time."""
    running: dict[Future, Block] = {}
    try:
        while True:
            for block, task in tasks:
                running[executor.submit(work, task)] = block
                if len(running) >= IN_FLIGHT:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                block = running.pop(future)
                try:
                    yield block, future.result()
                except Exception as error:  # of the work, of a lost worker, or a cancellation
                    yield block, error
    finally:  # an interruption: what has not begun need not
        for future in running:
            future.cancel()


def _named(failures: Mapping[Block, BaseException], grid: Grid, store: Store) -> str:
    said = [
        f"n={grid.points(block)[0][0]:g}, b={grid.points(block)[0][1]:g}: "
        f"{error or type(error).__name__}"
        for block, error in failures.items()
    ]
    return f"{len(said)} blocks failed: {'; '.join(said[:3])}; {store.done()} points are kept"
