"""What a sweep is going to do: everything that its numbers follow from."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import xarray as xr

from pnpfuse.checkpoints import fingerprint, told_apart
from pnpfuse.comparison import check_settings
from pnpfuse.evaluation import check_conditions, check_views, conditions
from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.methods import METHODS
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import list_models, plain
from pnpfuse.fusion.widths import split_widths
from pnpfuse.provenance import provenance
from pnpfuse.stacked import obstacle
from pnpfuse.stacked.sizes import points_at_once
from pnpfuse.sweep.dataset import TITLE, template
from pnpfuse.sweep.grid import Block, Grid
from pnpfuse.sweep.task import Task, untrained
from pnpfuse.training import choose_device, fit
from pnpfuse.views import Views

# Points in a block on a CPU: more are hardly faster, and a kill would undo more at once.
ENOUGH = 10
ENGINES = ("auto", "stacked", "single")
SETTINGS = "settings"  # the attribute that holds the record
ENGINE, BLOCK = "engine", "block"
# These do not change a number, or belong to a single training.
NOT_RECORDED = ("progress", "epochs", "seed", "checkpoint", "checkpoint_every", "resume")


class Plan(NamedTuple):
    """A sweep, checked, before it begins.

    Attributes
    ----------
    views, grid, task, voltage : what is trained on what
    model : untrained, without values: for what follows from widths and options
    size : of a block, along (n, b, seed); fixed here, so that the points that train together are
        the same whoever trains them and however often the sweep is stopped
    why : why the points do not train together; "" where they do, or are not asked to
    """

    views: Views
    grid: Grid
    task: Task
    voltage: float
    model: FusionModel
    size: tuple[int, int, int]
    why: str

    def blocks(self) -> list[Block]:
        """All blocks, those of the largest n first: they take longest."""
        return sorted(self.grid.blocks(self.size), key=lambda block: -self.grid.n[block.n])

    def record(self) -> dict[str, Any]:
        """Everything that the numbers follow from, as JSON holds it."""
        task = self.task
        found = {
            "views": _digest(self.views),
            "model": task.model,
            "options": {k: v for k, v in self.model.options.items() if k not in ("n", "b")},
            "n": self.grid.n,
            "b": self.grid.b,
            "seeds": self.grid.seed,
            "epochs": task.epochs,
            "missing": task.missing,
            "voltage": self.voltage,
            "threads": task.threads,
            "settings": {k: _written(v) for k, v in _complete(task.settings).items()},
            ENGINE: "stacked" if task.stacked else "single",
            BLOCK: self.size,
        }
        return json.loads(json.dumps(found, default=str))

    def empty(self) -> xr.Dataset:
        """The Dataset before the first point."""
        dataset = template(self.grid, self.model, self.task.missing, self.voltage)
        views = self.views
        said = {"not_stacked": self.why} if self.why else {}
        dataset.attrs = provenance(
            TITLE,
            outcome="a point each: see the variable outcome",
            data=views.name,
            dims=json.dumps(views.dims),
            rows=f"{len(views.train)} train, {len(views.test)} test",
            model=self.task.model,
            epochs=self.task.epochs,
            voltage=self.voltage,
            engine="stacked" if self.task.stacked else "single",
            **said,
            **{SETTINGS: json.dumps(self.record())},
        )
        return dataset

    def resumed(self, saved: Mapping[str, Any]) -> Plan:
        """With the engine and the blocks of an earlier run."""
        task = self.task._replace(stacked=saved[ENGINE] == "stacked")
        rows, wide, deep = saved[BLOCK]
        return self._replace(task=task, size=(rows, wide, deep))


def make_plan(views: Views, grid: Grid, task: Task, voltage: float, engine: str) -> Plan:
    """A plan of checked arguments.

    Raises
    ------
    ValueError
        for a model without n and b, bad options, settings, views or conditions, an n or b that
        some modality is too narrow for, and an engine that cannot train this
    """
    check_choice("engine", engine, ENGINES)
    _check_model(task.model)
    for name in ("n", "b"):
        if name in task.options:
            raise ValueError(f"options has {name}; give the values as the argument {name}")
    check_settings(task.settings)
    for name in ("checkpoint", "checkpoint_every"):
        if name in task.settings:
            raise ValueError(f"{name}: a sweep keeps its finished points by itself; give out")
    with torch.device("meta"):  # no values: the largest n may be large
        models = [untrained(task, views, n, grid.b[0], 0) for n in sorted(grid.n)]
    for n in grid.n:
        for b in grid.b:
            split_widths(models[0].block.dims, n, b)
    check_views(models[0], views, "train")
    test = check_views(models[0], views, "test")
    check_conditions(test, conditions(task.missing, views.dims))
    why = "" if engine == "single" else obstacle(models[0], task.settings)
    if why and engine == "stacked":
        raise ValueError(f"engine='stacked' cannot train this: {why}; take 'auto' or 'single'")
    stacked = engine != "single" and not why
    size = (1, 1, 1)
    if stacked:
        device = choose_device(task.settings.get("device", "auto"))
        together = points_at_once(models[len(models) // 2].to_empty(device=device))
        size = block_size(grid, together if device.type == "cuda" else min(together, ENOUGH))
    # A copy without what the views remember of themselves: that would travel with them.
    return Plan(replace(views), grid, task._replace(stacked=stacked), voltage, models[0], size, why)


def block_size(grid: Grid, at_once: int) -> tuple[int, int, int]:
    """Blocks of about `at_once` points: all seeds of as many b as that makes, evenly divided."""
    _, b, seeds = grid.shape
    deep = _even(seeds, at_once)
    return 1, _even(b, max(1, at_once // deep)), deep


def _even(count: int, most: int) -> int:
    """The size of parts of `count`, as alike as can be and none above `most`."""
    return -(-count // -(-count // most))


def _check_model(name: Any) -> None:
    able = [m for m in list_models() if {"n", "b"} <= set(METHODS[m].block_options)]
    if name not in able:
        raise ValueError(f"model must have the options n and b; found {name!r}, take one of {able}")


def _complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the defaults of `fit`: what is given as the default is the same."""
    known = inspect.signature(fit).parameters.values()
    defaults = {one.name: one.default for one in known if one.default is not one.empty}
    return {k: v for k, v in (defaults | dict(settings)).items() if k not in NOT_RECORDED}


def _written(value: Any) -> Any:
    if callable(value):
        return told_apart(value)
    return f"views {fingerprint(value)}" if isinstance(value, Views) else plain(value)


def _digest(views: Views) -> str:
    """A short name of the data and of its split."""
    both = fingerprint(views.train), fingerprint(views.test)
    return hashlib.sha256("".join(both).encode()).hexdigest()[:16]
