"""Where runs go: here, to processes of this machine, or to Dask; and their data with them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from threading import RLock, Thread
from typing import Any

from tqdm.auto import tqdm

from pnpfuse.fusion.arguments import check_count

# How often a pool that lost a worker is replaced. A task that is too large for the memory kills
# its worker each time, so there has to be an end.
RENEWALS = 5


class Processes(Executor):
    """Worker processes that live as long as the one that made them.

    A pool of `concurrent.futures` gives up all its tasks when one worker is lost, and leaves its
    workers behind when the process that made it is killed. Here the lost tasks fail with
    `BrokenProcessPool` too, but what is submitted next goes to new workers, a few times; and no
    worker outlives its maker. Leaving the ``with`` block by an exception ends the workers at once.

    Parameters
    ----------
    jobs : how many at most; as many are started as there are tasks
    """

    def __init__(self, jobs: int):
        # Spawned: a forked child inherits torch's thread pools in whatever state they are in.
        self._context = multiprocessing.get_context("spawn")
        self.jobs, self._left = jobs, RENEWALS
        self._lifeline, self._end = self._context.Pipe(duplex=False)
        self._kept: Any = None
        self._pool: ProcessPoolExecutor | None = None

    def keep(self, value: Any) -> Kept:
        """What stands for `value` in tasks; it goes to each worker once, as that is started."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._kept = value
        return Kept()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """As of any executor; BrokenProcessPool when too many workers have been lost."""
        with _interrupts_held():
            try:
                return self._running().submit(fn, *args, **kwargs)
            except BrokenProcessPool:
                if not self._left:
                    raise
                self._left -= 1
                self._pool = None
                return self._running().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of any executor."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            self._end.close()  # the workers see it and leave
        self.shutdown(cancel_futures=kind is not None)

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.jobs, self._context, _begin, (self._lifeline, self._kept)
            )
        return self._pool


class Kept:
    """Stands for the value that a worker of `Processes` was given at its start."""


_kept: Any = None


def _begin(lifeline: Connection, value: Any) -> None:
    """Make a worker ready: what it keeps, and when it has to go."""
    global _kept
    _kept = value
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that made it
    # Bars take a lock between processes, which a worker that leaves at once would leave behind.
    tqdm.set_lock(RLock())
    Thread(target=_leave_with, args=(lifeline,), daemon=True).start()


def _leave_with(lifeline: Connection) -> None:
    """End this process once the other end is closed, or its holder has died."""
    try:
        lifeline.poll(None)
    finally:
        os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits: a worker that is started meanwhile never sees one, not while it imports."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:  # not on every system
        yield
        return
    resource_tracker.ensure_running()  # with the first worker it would let Ctrl-C through again
    before = mask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def kept(executor: Executor | None, value: Any) -> Any:
    """What to give the executor's tasks for a large `value`; `received` gives the value there.

    So that it need not travel with every task where that can be avoided.
    """
    if isinstance(executor, Processes):
        return executor.keep(value)
    client = getattr(executor, "_client", None)  # of Dask's ClientExecutor
    if client is not None and callable(getattr(client, "submit", None)):
        # A task rather than scattered data: with a lost worker these would be lost, and a task is
        # done again. Dask puts its result in place of the future.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # it is sent this once
            return client.submit(received, value, pure=False)
    return value


def received(value: Any) -> Any:
    """The value that a task was given, or that its worker keeps for it."""
    return _kept if isinstance(value, Kept) else value


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A logger says nothing for a while."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def executor_for(jobs: int = 1, dask: str | None = None) -> Iterator[Executor | None]:
    """An executor that is shut down at the end; None, which means here, for one job.

    Parameters
    ----------
    jobs : worker processes, see `Processes`
    dask : address of a scheduler, "tcp://host:8786" for example, instead of processes. Its workers
        need this package, and the data file under the same path if it is read lazily.

    Raises
    ------
    ValueError
        if the package distributed is missing
    OSError
        if the scheduler does not answer
    """
    jobs = check_count("jobs", jobs)
    if dask is not None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ValueError(
                "dask needs the package distributed: pip install distributed"
            ) from error
        # A scheduler that is lost is told once, by the work that it gave up, and not by its logs.
        with _quiet("distributed"), Client(dask, timeout="10s", set_as_default=False) as client:
            yield client.get_executor()
    elif jobs == 1:
        yield None
    else:
        with Processes(jobs) as pool:
            yield pool
