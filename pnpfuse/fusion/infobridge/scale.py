"""Features at a common scale, whatever that of the encoders is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOWEST = 0.01  # share of a batch in the running moments, in the long run


class RunningScale(nn.Module):
    """(z - mean) / std of each feature, by the moments of the training's batches.

    The same moments in training and evaluation, that of a batch only in part: a row's value does
    not hang on its neighbours. A feature that does not vary keeps its size.

    Attributes
    ----------
    mean, variance : (M, L)
    batches : int64 (M, 1), how many have been seen
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, modalities: int, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(modalities, width))
        self.register_buffer("variance", torch.ones(modalities, width))
        self.register_buffer("batches", torch.zeros(modalities, 1, dtype=torch.int64))

    @torch.no_grad()
    def update(self, z: Tensor, present: Tensor) -> None:
        """Take in z (M, B, L), the rows that are present, bool (M, B)."""
        rows = present.sum(1, keepdim=True)  # (M, 1)
        kept, count = present[..., None], rows.clamp(min=1)
        mean = torch.where(kept, z, 0.0).sum(1) / count  # (M, L)
        spread = torch.where(kept, z - mean[:, None], 0.0).square().sum(1) / count
        # A plain mean over the first batches, which forgets slowly later on.
        share = (1 / (self.batches + 1)).clamp(min=SLOWEST) * (rows > 0)  # (M, 1)
        gap = mean - self.mean
        spread = (1 - share) * self.variance + share * (spread + (1 - share) * gap.square())
        self.variance.copy_(spread)
        self.mean.add_(share * gap)
        self.batches.add_(rows > 0)

    def forward(self, z: Tensor, of: slice = slice(None)) -> Tensor:
        """z (M, ..., L), standardised, of all modalities or of some."""
        shape = (-1, *[1] * (z.dim() - 2), z.shape[-1])
        mean, variance = self.mean[of].view(shape), self.variance[of].view(shape)
        varies = variance > 1e-10 * mean.square()  # more than rounding
        return (z - mean) * torch.where(varies, variance, 1.0).rsqrt()
