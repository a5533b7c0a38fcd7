"""Where the command line sends runs: here, to processes of this machine, or to Dask."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from pnpfuse.fusion.arguments import check_count


@contextmanager
def executor_for(jobs: int = 1, dask: str | None = None) -> Iterator[Executor | None]:
    """An executor that is shut down at the end; None, which means here, for one job.

    Parameters
    ----------
    jobs : worker processes
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
        with Client(dask, timeout="10s", set_as_default=False) as client:
            yield client.get_executor()
    elif jobs == 1:
        yield None
    else:
        # Spawned: a forked child inherits torch's thread pools in whatever state they are in.
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            yield pool
