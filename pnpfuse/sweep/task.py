"""The work of a sweep: a block of points trained together and measured one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.history import History
from pnpfuse.runs import ONE_AT_A_TIME
from pnpfuse.sweep.measures import Measured, measured
from pnpfuse.threads import cpu_threads
from pnpfuse.trainer import TrainingError
from pnpfuse.training import fit
from pnpfuse.views import Views


class Task(NamedTuple):
    """What a worker needs to train and measure some points, all of it to be pickled."""

    model: str
    options: dict[str, Any]
    views: Views
    points: list[tuple[float, float, int]]  # n, b, seed
    epochs: int
    missing: str
    threads: int
    settings: dict[str, Any]


def work(task: Task) -> list[Measured | TrainingError]:
    """What was measured at each point, or why it could not be trained."""
    with ONE_AT_A_TIME, cpu_threads(task.threads):
        models = [untrained(task, n, b, seed) for n, b, seed in task.points]
        histories = _trained(task, models)
        return [
            history
            if isinstance(history, TrainingError)
            else measured(model, task.views, history, task.missing)
            for model, history in zip(models, histories, strict=True)
        ]


def untrained(task: Task, n: float, b: float, seed: int) -> FusionModel:
    """The model of a point, as `compare` would begin with it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights
        options: Mapping[str, Any] = task.options | {"n": n, "b": b}
        return create_model(task.model, task.views.dims, task.views.classes, **options)


def _trained(task: Task, models: list[FusionModel]) -> list[History | TrainingError]:
    histories: list[History | TrainingError] = []
    for model, (_, _, seed) in zip(models, task.points, strict=True):
        try:
            histories.append(
                fit(
                    model, task.views, epochs=task.epochs, seed=seed, progress=False,
                    **task.settings,
                )
            )  # fmt: skip
        except TrainingError as error:
            histories.append(error)
    return histories
