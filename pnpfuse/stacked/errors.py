"""The preservation losses of PMR Eq. 6 with their gradients written out.

Each takes target and found (P, batch, width) and the weight (P, batch) of every row, and gives
the rows' errors (P, batch) as `pnpfuse.fusion.preservation.sample_error` does; `dtarget` and
`dfound` (P, batch, width) get the gradients of the weighted sum of the errors.
"""

import torch
from torch import Tensor

from pnpfuse.fusion.preservation import SHORTEST
from pnpfuse.stacked.room import Room


def cosine_error(
    target: Tensor, found: Tensor, weight: Tensor, dtarget: Tensor, dfound: Tensor, room: Room
) -> Tensor:
    """1 - cos; 1 for a zero row."""
    t, t_largest, t_norm = _scaled(target, room("target", "", *target.shape))
    r, r_largest, r_norm = _scaled(found, room("found", "", *found.shape))
    cosine = torch.mul(t, r, out=dfound).sum(-1, keepdim=True).div_(t_norm * r_norm)
    # d cos/dr = (t/|t| - cos r/|r|)/|r|, and the same with t and r exchanged.
    across = -weight[..., None] / (t_norm * r_norm)  # (P, batch, 1)
    along = weight[..., None] * cosine
    torch.mul(t, across / r_largest, out=dfound).addcmul_(r, along / (r_norm * r_norm * r_largest))
    torch.mul(r, across / t_largest, out=dtarget).addcmul_(t, along / (t_norm * t_norm * t_largest))
    return 1 - cosine[..., 0]


def squared_error(
    target: Tensor,
    found: Tensor,
    weight: Tensor,
    dtarget: Tensor,
    dfound: Tensor,
    room: Room,
    mean: bool,
) -> Tensor:
    """The square of the difference, its mean or its sum over the features."""
    share = 1 / target.shape[-1] if mean else 1.0
    torch.sub(found, target, out=dfound)
    squares = torch.mul(dfound, dfound, out=room("target", "", *target.shape))
    dfound.mul_((2 * share * weight)[..., None])
    torch.neg(dfound, out=dtarget)
    return squares.sum(-1).mul_(share)


def _scaled(x: Tensor, room: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x over the largest entry of each row, that entry, and the norm then, (P, batch, 1) each.

    Divided so, no square over- or underflows. A zero row counts as one of norm 1.
    """
    largest = torch.abs(x, out=room).amax(-1, keepdim=True)
    zero = largest < SHORTEST
    largest.masked_fill_(zero, 1)
    scaled = torch.div(x, largest, out=room)
    norm = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled, largest, norm.masked_fill_(zero, 1)
