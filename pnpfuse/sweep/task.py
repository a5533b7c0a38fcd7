"""The work of a sweep: a block of points trained together and measured one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pnpfuse.executors import received
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.history import History
from pnpfuse.runs import ONE_AT_A_TIME
from pnpfuse.stacked import fit_stacked
from pnpfuse.sweep.grid import Point
from pnpfuse.sweep.measures import Measured, measured
from pnpfuse.threads import cpu_threads
from pnpfuse.trainer import TrainingError
from pnpfuse.training import fit
from pnpfuse.views import Views


class Task(NamedTuple):
    """How the points of a sweep are trained and measured; all of it to be pickled.

    Attributes
    ----------
    model, options : as for `create_model`, without n and b
    epochs, settings : as for `fit`
    missing : as for `evaluate`
    threads : CPU threads
    stacked : the points of a block train together
    """

    model: str
    options: dict[str, Any]
    epochs: int
    missing: str
    threads: int
    settings: dict[str, Any]
    stacked: bool = False


def work(task: Task, views: Any, points: list[Point]) -> list[Measured | TrainingError]:
    """What was measured at each point, or why it could not be trained.

    `views` is `Views`, or what `pnpfuse.executors.kept` gave for them.
    """
    views = received(views)
    with ONE_AT_A_TIME, cpu_threads(task.threads):
        models = [untrained(task, views, *point) for point in points]
        histories = _trained(task, views, models, [seed for _, _, seed in points])
        return [
            history
            if isinstance(history, TrainingError)
            else measured(model, views, history, task.missing)
            for model, history in zip(models, histories, strict=True)
        ]


def untrained(task: Task, views: Views, n: float, b: float, seed: int) -> FusionModel:
    """The model of a point, as `compare` would begin with it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights
        options: Mapping[str, Any] = task.options | {"n": n, "b": b}
        return create_model(task.model, views.dims, views.classes, **options)


def _trained(
    task: Task, views: Views, models: list[FusionModel], seeds: list[int]
) -> list[History | TrainingError]:
    settings = {"epochs": task.epochs, "progress": False, **task.settings}
    if task.stacked:
        return fit_stacked(models, views, seeds=seeds, **settings)
    histories: list[History | TrainingError] = []
    for model, seed in zip(models, seeds, strict=True):
        try:
            histories.append(fit(model, views, seed=seed, **settings))
        except TrainingError as error:
            histories.append(error)
    return histories
