"""How many CPU threads torch takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pnpfuse.fusion.arguments import check_count


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block.

    For models of a few ten thousand parameters one thread is the fastest: several wait for each
    other at every layer, and on a busy machine that wait makes a training ten times slower.
    """
    count = check_count("threads", count)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
