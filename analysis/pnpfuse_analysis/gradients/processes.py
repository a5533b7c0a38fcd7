"""Sums over the processes that train one model."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor


def processes(group: Any = "world") -> int:
    """Return the number of processes: 1 for None, or where torch.distributed does not run."""
    if group is None or not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size(None if group == "world" else group)


def add_up(values: Tensor, group: Any = "world") -> Tensor:
    """Return the sum of `values` over the processes, in each of them."""
    if processes(group) > 1:
        values = values.clone()
        dist.all_reduce(values, group=None if group == "world" else group)
    return values
