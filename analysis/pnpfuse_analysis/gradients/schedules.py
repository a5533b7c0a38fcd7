"""When to measure: a schedule is any function from the number of a step to True or False."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pnpfuse_analysis.samples import check_count


def every(n: int) -> Callable[[int], bool]:
    """Return the schedule of steps 0, n, 2 n, ...

    Raises
    ------
    ValueError
        If n is not a whole number >= 1.
    """
    check_count(n, "n", 1)
    return partial(_falls_due, n)


def _falls_due(n, step):
    return step % n == 0
