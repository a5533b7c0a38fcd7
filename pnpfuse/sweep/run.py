"""A sweep from start to end: plan, resume, hand out, keep."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import closing
from typing import Any

import xarray as xr
from tqdm.auto import tqdm

from pnpfuse.comparison import check_executor
from pnpfuse.executors import kept
from pnpfuse.fusion.arguments import check_count, check_seeds
from pnpfuse.fusion.registry import plain
from pnpfuse.mapping.cells import above_zero
from pnpfuse.sweep.dataset import OUTCOME
from pnpfuse.sweep.grid import Block, make_grid
from pnpfuse.sweep.plan import Plan, make_plan
from pnpfuse.sweep.store import Store, store_for
from pnpfuse.sweep.task import Task, work
from pnpfuse.views import Views, check_is_views

# Blocks handed to an executor at a time: enough for every worker, not all of a large sweep.
IN_FLIGHT = 256
SHOWN = 3  # failures told one by one

Outcomes = Generator[tuple[Block, Any], None, None]


class SweepError(RuntimeError):
    """Some points could not be trained and measured.

    Attributes
    ----------
    dataset : the points that were
    """

    def __init__(self, message: str, dataset: xr.Dataset):
        super().__init__(message)
        self.dataset = dataset

    def __reduce__(self) -> tuple[Any, ...]:
        return SweepError, (*self.args, self.dataset)


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
    engine: str = "auto",
    executor: Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = True,
    threads: int = 1,
    progress: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """Train a model at every (n, b, seed) and measure it.

    Parameters
    ----------
    views : Views
        Training rows train, test rows only measure.
    n : float or iterable of float
        Magnification factors, above 0; n l_m is rounded.
    b : float or iterable of float
        Boundaries as ratios, strictly between 0 and 1, for all modalities.
    seeds : int or iterable of int
        A count means 0, 1, ...; a seed sets the initial weights, the shuffling and dropout.
    model : str
        A method with the options n and b, see `list_models`.
    epochs : int
        Of each training.
    missing : {"none", "each", "all"}
        As for `evaluate`.
    voltage : float
        Of the cells in which physics puts b, see `hyperparameters`; nothing that is trained
        depends on it.
    options : mapping or None
        Further options of `create_model`.
    engine : {"auto", "stacked", "single"}
        "stacked" trains neighbouring points together, see `pnpfuse.stacked`, with the numbers of
        "single" up to rounding; "auto" does so where it can be done. Attribute "engine" of the
        Dataset says which it was, "not_stacked" why not.
    executor : concurrent.futures.Executor or None
        Where the points are trained: a ``ProcessPoolExecutor``, Dask's
        ``Client(...).get_executor()`` or any other; None, here. The numbers do not depend on it.
    out : path or None
        A Zarr store in which finished points are kept, block by block. Called again with the same
        arguments after a stop of whatever kind, a sweep goes on from there; a finished one comes
        back at once.
    resume : bool
        False begins anew, in place of a sweep that is in `out`.
    threads : int
        CPU threads of each training, in whatever process.
    progress : bool
        Show a bar, if the output is a terminal.
    **settings
        Further arguments of `fit`, without checkpoint.

    Returns
    -------
    xarray.Dataset
        Over (n, b, seed): outcome (1 finished, 2 diverged: its numbers are NaN). With
        "condition": accuracy, balanced_accuracy, loss, as `evaluate` gives them. With
        "loss_name": training_loss. For models that divide into shared and specific parts also
        gradient_cosine and conflict_rate with ("auxiliary", "modality"), effective_rank and rank
        of each modality's own shared part with "modality", and without the seed rank_limit
        (n, b, modality), shared_width, physical_b and physical_separation (n, modality).

    Raises
    ------
    ValueError
        for bad arguments, and for an `out` whose sweep was made with other ones, naming the first
    SweepError
        when blocks failed, after all the others have been finished and kept, or when the executor
        is broken or gone; the same call goes on from there
    OSError
        when `out` cannot be written, or another run writes there
    """
    views, grid = check_is_views(views), make_grid(n, b, check_seeds(seeds))
    epochs, threads = check_count("epochs", epochs), check_count("threads", threads)
    voltage = above_zero("voltage", voltage)
    check_executor(executor)
    task = Task(model, plain(dict(options or {})), epochs, missing, threads, plain(settings))
    plan = make_plan(views, grid, task, voltage, engine)
    store, plan = store_for(plan, out, resume, engine)
    with closing(store):
        try:
            failures = _run(plan, store, executor, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; {_kept(store)}") from None
    if failures:
        raise SweepError(_named(failures, plan, store), store.dataset)
    return store.dataset


def _run(
    plan: Plan, store: Store, executor: Executor | None, progress: bool
) -> dict[Block, Exception]:
    """Train and keep what is not finished; the blocks that failed, and why.

    Raises
    ------
    ValueError
        at the first block, if it says that an argument is bad: all have the same arguments
    """
    left = [block for block in plan.blocks() if not store.finished(block)]
    failures: dict[Block, Exception] = {}
    with tqdm(
        total=store.dataset[OUTCOME].size, initial=store.done(), desc=plan.task.model,
        unit="point", smoothing=0, disable=None if progress else True,
    ) as bar, closing(_outcomes(plan, left, executor)) as outcomes:  # fmt: skip
        for block, outcome in outcomes:
            if isinstance(outcome, (BrokenExecutor, CancelledError)):
                raise SweepError(_broken(outcome, store), store.dataset) from outcome
            if isinstance(outcome, ValueError) and not store.done():
                raise outcome
            if isinstance(outcome, Exception):
                failures[block] = outcome
                continue
            try:
                store.put(block, outcome)
            except OSError as error:
                raise OSError(
                    f"cannot write {store.path}: {error.strerror or error}; {_kept(store)}"
                ) from error
            bar.update(len(outcome))
    return failures


def _outcomes(plan: Plan, left: list[Block], executor: Executor | None) -> Outcomes:
    """(block, what was measured at its points, or the exception) of each block that is left."""
    return _here(plan, left) if executor is None else _elsewhere(plan, left, executor)


def _here(plan: Plan, left: list[Block]) -> Outcomes:
    for block in left:
        try:
            found: Any = work(plan.task, plan.views, plan.grid.points(block))
        except Exception as error:  # told at the end, after the other blocks
            found = error
        yield block, found


def _elsewhere(plan: Plan, left: list[Block], executor: Executor) -> Outcomes:
    """As they arrive; blocks lost with a worker go out again while the executor takes them."""
    views = kept(executor, plan.views) if left else None
    waiting, running = list(reversed(left)), dict[Future, Block]()
    try:
        while waiting or running:
            while waiting and len(running) < IN_FLIGHT:
                block = waiting.pop()
                try:
                    future = executor.submit(work, plan.task, views, plan.grid.points(block))
                except BrokenExecutor as error:
                    yield block, error
                    return
                running[future] = block
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                block = running.pop(future)
                try:
                    yield block, future.result()
                except BrokenExecutor:
                    waiting.append(block)
                except Exception as error:  # of the work, or a cancellation
                    yield block, error
    finally:  # an interruption: what has not begun need not
        for future in running:
            future.cancel()


def _named(failures: Mapping[Block, Exception], plan: Plan, store: Store) -> str:
    said = []
    for block, error in list(failures.items())[:SHOWN]:
        n, b, seed = plan.grid.points(block)[0]
        said.append(f"from n={n:g}, b={b:g}, seed={seed}: {str(error) or type(error).__name__}")
    more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    return f"{len(failures)} blocks of points failed: {'; '.join(said)}{more}; {_kept(store)}"


def _broken(error: BrokenExecutor | CancelledError, store: Store) -> str:
    if isinstance(error, CancelledError):
        why = "the executor has given the work up: it was shut down, or its scheduler is gone"
    else:
        why = f"the executor has lost its workers, killed perhaps for want of memory ({error})"
    return f"{why}; {_kept(store)}; it needs a new executor"


def _kept(store: Store) -> str:
    said = f"{store.done()} of {store.dataset[OUTCOME].size} points are"
    if store.path is None:
        return f"{said} finished and, without out, kept nowhere"
    return f"{said} kept in {store.path}: the same call goes on from there"
