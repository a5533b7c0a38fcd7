"""What passes the two paths of a block as it is initialised: ranks, and what can be recovered."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse.fusion import PMR

WIDTHS = {"a": 24, "b": 16, "c": 12}
ROWS = 200


class Path(NamedTuple):
    """Of one modality.

    Attributes
    ----------
    segments : widths of the shared and the specific segment, B and n l - B
    shared, specific : numerical ranks of its own parts over random features
    residual : share of the variance of V that the best linear map from Z does not give back
    """

    segments: tuple[int, int]
    shared: int
    specific: int
    residual: float


@torch.no_grad()
def traced(n: float, b: float, seed: int) -> dict[str, Path]:
    """{modality: Path} of a block drawn with the seed, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        block = PMR(WIDTHS, n, b).double().eval()
        V = {m: torch.randn(ROWS, width, dtype=torch.float64) for m, width in WIDTHS.items()}
    own, specific, _ = block.separate(V)
    fused = block(V).fused
    found = {}
    for m, v in V.items():
        cut = block.widths.boundary[m]
        segments = (cut, block.widths.expanded[m] - cut)
        found[m] = Path(segments, _rank(own[m]), _rank(specific[m]), _residual(fused[m], v))
    return found


def _rank(part: Tensor) -> int:
    return int(torch.linalg.matrix_rank(part - part.mean(0)))


def _residual(Z: Tensor, V: Tensor) -> float:
    Z, V = Z - Z.mean(0), V - V.mean(0)
    left = V - Z @ (torch.linalg.pinv(Z) @ V)
    return float(left.square().sum() / V.square().sum())
