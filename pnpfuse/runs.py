"""Trainings handed to an executor, one model with one seed each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from typing import Any, NamedTuple

import torch
import xarray as xr

from pnpfuse.evaluation import evaluate
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.threads import cpu_threads
from pnpfuse.training import fit
from pnpfuse.views import Views

Key = tuple[str, int]  # label and seed

# torch's random state and its number of threads belong to the process, not to a thread.
ONE_AT_A_TIME = threading.RLock()


class ComparisonError(RuntimeError):
    """Some runs failed.

    Attributes
    ----------
    failures : {(label, seed): exception}
    finished : {(label, seed): Dataset of `evaluate`} of the other runs
    """

    def __init__(self, failures: dict[Key, Exception], finished: dict[Key, xr.Dataset]):
        super().__init__(_named(failures, len(failures) + len(finished)))
        self.failures = failures
        self.finished = finished

    def __reduce__(self) -> tuple[Any, ...]:
        return ComparisonError, (self.failures, self.finished)


class Run(NamedTuple):
    """What one run needs, all of it to be pickled."""

    name: str
    options: dict[str, Any]
    seed: int
    views: Views
    epochs: int
    missing: str
    threads: int
    settings: dict[str, Any]
    measure: Callable[[FusionModel, Views], xr.Dataset] | None = None


def train(run: Run) -> tuple[FusionModel, xr.Dataset]:
    """One trained model and its scores; the same whatever else the process is doing."""
    with ONE_AT_A_TIME, cpu_threads(run.threads):
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)  # initial weights
            model = create_model(run.name, run.views.dims, run.views.classes, **run.options)
        fit(model, run.views, epochs=run.epochs, seed=run.seed, progress=False, **run.settings)
        found = evaluate(model, run.views, run.missing)
        return model, found if run.measure is None else _joined(
            found, run.measure(model, run.views)
        )


def _joined(found: xr.Dataset, measured: xr.Dataset) -> xr.Dataset:
    """The scores and what `measure` gave beside them; ValueError for what would replace a score."""
    if not isinstance(measured, xr.Dataset):
        raise ValueError(f"measure must give an xarray.Dataset; found {type(measured).__name__}")
    taken = sorted(map(str, set(measured.variables) & set(found.variables)))
    if taken:
        raise ValueError(f"measure gives {taken}, which the scores have; take other names")
    return found.assign(measured.variables)


def scores(run: Run) -> xr.Dataset:
    """The scores of one run; what an executor is given, so it can be found by its name."""
    return train(run)[1]


def here(
    tasks: Mapping[Key, Run], inspect: Callable[[str, int, FusionModel], None] | None
) -> Iterator[tuple[Key, xr.Dataset | Exception]]:
    """Outcomes, run by run in this thread."""
    for (label, seed), run in tasks.items():
        try:
            model, found = train(run)
        except Exception as error:  # told at the end, with those of the others
            yield (label, seed), error
            continue
        if inspect is not None:
            inspect(label, seed, model)
        yield (label, seed), found


def elsewhere(
    tasks: Mapping[Key, Run], executor: Executor
) -> Iterator[tuple[Key, xr.Dataset | Exception]]:
    """Outcomes, as they arrive from the executor."""
    futures = {executor.submit(scores, run): key for key, run in tasks.items()}
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except Exception as error:  # of the run, of a lost worker, or a cancellation
                yield futures[future], error
    finally:  # an interruption: what has not begun need not
        for future in futures:
            future.cancel()


def complain(failures: dict[Key, Exception], finished: dict[Key, xr.Dataset]) -> None:
    """Raise ComparisonError; ValueError if nothing was finished for want of good arguments."""
    first = next(iter(failures.values()))
    if not finished and all(isinstance(error, ValueError) for error in failures.values()):
        raise ValueError(_named(failures, len(failures) + len(finished))) from first
    raise ComparisonError(failures, finished) from first


def _named(failures: Mapping[Key, Exception], runs: int) -> str:
    said = [
        f"{label}, seed {seed}: {str(error) or type(error).__name__}"
        for (label, seed), error in failures.items()
    ]
    rest = f"; and {len(said) - 5} more" if len(said) > 5 else ""
    return f"{len(said)} of {runs} runs failed: {'; '.join(said[:5])}{rest}"
