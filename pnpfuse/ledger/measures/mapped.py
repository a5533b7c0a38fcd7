"""Linear maps of l features to n l and back, and what does not come back (GMF Theorem 3.3, 3.4)."""

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


def lost_share(V: Tensor, channels: Tensor) -> float:
    """Share of the variance of V (rows, l) that `channels` V, (k, l), cannot give back."""
    V = V - V.mean(0)
    back = torch.linalg.pinv(channels) @ channels  # (l, l), onto what the channels see
    return float((V - V @ back.T).square().sum() / V.square().sum().clamp(min=1e-30))
