"""Gaussian pairs whose information is known, and the critic that is right for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pnpfuse_analysis import nce_bound


def information(rho: Sequence[float]) -> float:
    """I(x; y | T) in nats of contexts that are equally frequent, a correlation each."""
    return float(np.mean([-math.log(1 - r**2) / 2 for r in rho]))


def draw_pairs(
    rho: Sequence[float], rows: int, seed: int, apart: float = 0.0
) -> tuple[dict[str, Tensor], Tensor]:
    """{"x", "y"}, each (rows, 1), correlated by rho[T] within T, and T (rows,).

    The contexts' means lie `apart` from each other, upwards in x and downwards in y.
    """
    generator = torch.Generator().manual_seed(seed)
    T = torch.randint(0, len(rho), (rows,), generator=generator)
    x, noise = torch.randn(2, rows, 1, generator=generator)
    r = torch.tensor(list(rho))[T, None]
    place = apart * (T[:, None] - (len(rho) - 1) / 2)
    return {"x": x + place, "y": r * x + (1 - r**2).sqrt() * noise - place}, T


def log_ratio(x: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
    """log p(x, y) / p(x) p(y) of standard normal x and y with correlation rho."""
    rho = torch.as_tensor(rho, dtype=x.dtype)
    square = rho * (2 * x * y - rho * (x**2 + y**2)) / (1 - rho**2)
    return (square - torch.log1p(-(rho**2))) / 2


def right_logits(rho: float, ratio: float, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits of Eq. (3)'s posterior, of true pairs and of drawn ones, each (rows,)."""
    V, _ = draw_pairs([rho], rows, seed)
    x, y = V["x"][:, 0].double(), V["y"][:, 0].double()
    drawn = log_ratio(x, y.roll(1), rho)  # rows are independent: the next one's y is any y
    return log_ratio(x, y, rho) - math.log(ratio), drawn - math.log(ratio)


def right_bound(
    rho: float, ratio: float, rows: int, sets: int, printed: bool = False
) -> NDArray[np.float64]:
    """Eq. (5) with the right posterior, of each set of rows, (sets,).

    The margin as it follows from Eq. (4), log(N0/N1), or as printed.
    """
    logits = (right_logits(rho, ratio, rows, seed) for seed in range(sets))
    return np.array([float(nce_bound(*one, n0=ratio, paper_margin=printed)) for one in logits])
