"""Linear maps from l features to n l and back, as GMF Theorem 3.3 has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def up_and_down(width: int, n: float, seed: int) -> tuple[Tensor, Tensor]:
    """U2 (n l, l) and U1 (l, n l) in double precision, as a new `torch.nn.Linear` draws them."""
    expanded = max(1, round(n * width))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        up = nn.Linear(width, expanded, bias=False, dtype=torch.float64)
        down = nn.Linear(expanded, width, bias=False, dtype=torch.float64)
    return up.weight.detach(), down.weight.detach()
