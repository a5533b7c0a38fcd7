"""Partners drawn for pairs that do not belong together, in the same context."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Draw(NamedTuple):
    """Partners of B anchors among N rows, for each of K modalities.

    Attributes
    ----------
    rows : int64 (K, B, count), which rows
    alone : bool (K, B), there is no other row of the anchor's context: the partners are of any
    possible : bool (K, B), there is another row at all; else `rows` means nothing
    """

    rows: Tensor
    alone: Tensor
    possible: Tensor


def draw_negatives(T: Tensor, present: Tensor, anchors: int, count: int) -> Draw:
    """Partners drawn uniformly, with replacement, from the other rows of the anchor's context.

    From torch's global random state, without a wait for the device.

    Parameters
    ----------
    T : int64 (N,), contexts; the anchors are the first rows
    present : bool (K, N), which rows have the modality
    anchors : B
    count : partners for each anchor
    """
    N = len(T)
    key = torch.where(present, T, torch.iinfo(T.dtype).max)  # (K, N)
    key, order = key.sort(stable=True)
    place = torch.empty_like(order).scatter_(1, order, _counting(order))[:, :anchors]
    wanted = T[:anchors].expand(len(present), -1).contiguous()  # (K, B)
    start = torch.searchsorted(key, wanted)
    end = torch.searchsorted(key, wanted, right=True)
    own = present[:, :anchors]
    same = end - start - own.long()
    alone = same == 0
    # The rows that have the modality come first, whatever their context.
    room = torch.where(alone, present.sum(1, keepdim=True) - own.long(), same)
    u = torch.rand(*room.shape, count, device=T.device)  # (K, B, count)
    chosen = torch.minimum((u * room[..., None]).long(), room[..., None] - 1)
    chosen = chosen + torch.where(alone, 0, start)[..., None]
    chosen = chosen + (own[..., None] & (chosen >= place[..., None])).long()  # not itself
    rows = order.gather(1, chosen.clamp(0, N - 1).flatten(1)).view_as(chosen)
    return Draw(rows, alone, room > 0)


def gathered(pool: Tensor, rows: Tensor) -> Tensor:
    """The rows (K, B, count) of pool (K, N, L), each of its own modality: (K, B, count, L)."""
    count, size = pool.shape[:2]
    begin = (torch.arange(count, device=pool.device) * size)[:, None, None]
    return pool.flatten(0, 1).index_select(0, (rows + begin).flatten()).view(*rows.shape, -1)


def _counting(like: Tensor) -> Tensor:
    return torch.arange(like.shape[1], device=like.device).expand_as(like)
