"""How kernels are compiled, and shared out over threads; imported where a kernel runs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit


def jit(function: Callable | None = None, /, **options: Any) -> Any:
    """Compile for threads that run at once; kept on disk, where there is a place for that."""
    if function is None:
        return lambda function: jit(function, **options)
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # neither the installation nor a home folder can be written
        return njit(nogil=True, **options)(function)


def share_out(blocks: int, work: Callable[[int, int], Any]) -> None:
    """Run work(first, last) over all blocks, in as many threads as torch uses."""
    # Threads of our own: kernels give the GIL back, and not every threading layer of Numba bears
    # callers in several threads.
    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1:
        work(0, blocks)
        return
    cuts = np.linspace(0, blocks, min(blocks, 4 * threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, cuts[:-1], cuts[1:]))
