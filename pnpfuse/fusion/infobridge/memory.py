"""Feature vectors of earlier batches, first in, first out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """The last `size` rows seen, as buffers: they travel with the weights.

    Attributes
    ----------
    features : (M, size, L), without gradient
    present : bool (M, size), which modalities each has; False where nothing was written yet
    contexts : int64 (size,)
    cursor : int64 (), where the next row goes
    """

    features: Tensor
    present: Tensor
    contexts: Tensor
    cursor: Tensor

    def __init__(self, modalities: int, width: int, size: int):
        super().__init__()
        self.size = size
        self.register_buffer("features", torch.zeros(modalities, size, width))
        self.register_buffer("present", torch.zeros(modalities, size, dtype=torch.bool))
        self.register_buffer("contexts", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, z: Tensor, present: Tensor, T: Tensor) -> None:
        """Write z (M, B, L), present (M, B) and T (B,) over the oldest rows."""
        if not self.size:
            return
        z, present, T = z[:, -self.size :], present[:, -self.size :], T[-self.size :]
        where = (self.cursor + torch.arange(len(T), device=T.device)) % self.size
        self.features.index_copy_(1, where, z.to(self.features))
        self.present.index_copy_(1, where, present)
        self.contexts.index_copy_(0, where, T)
        self.cursor.add_(len(T)).remainder_(self.size)
