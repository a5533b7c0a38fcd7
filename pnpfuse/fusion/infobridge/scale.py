"""Features at a common place and scale in every context, whatever the encoders make of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 2048  # rows that the running moments go back to, of each context


class RunningScale(nn.Module):
    """(z - mean of the context) / std within the contexts, by the moments of the training's rows.

    What tells the contexts apart is of no use to a critic that compares within them. The same
    moments in training and evaluation: a row's value does not hang on its neighbours, but for
    their share in the moments. A feature that does not vary keeps its size.

    Attributes
    ----------
    mean : (M, C, L); `variance` : (M, L)
    rows : (M, C), how many stand behind each mean, at most `MEMORY`
    batches : (M, 1), how many stand behind the variance
    """

    mean: Tensor
    variance: Tensor
    rows: Tensor
    batches: Tensor

    def __init__(self, modalities: int, contexts: int, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(modalities, contexts, width))
        self.register_buffer("variance", torch.ones(modalities, width))
        self.register_buffer("rows", torch.zeros(modalities, contexts))
        self.register_buffer("batches", torch.zeros(modalities, 1))

    @torch.no_grad()
    def update(self, z: Tensor, present: Tensor, T: Tensor) -> None:
        """Take in z (M, B, L) in T (B,), the rows that are present, bool (M, B)."""
        contexts = torch.arange(self.mean.shape[1], device=T.device)[:, None]
        chosen = ((T == contexts) & present[:, None]).to(z)  # (M, C, B)
        count = chosen.sum(2)  # (M, C)
        mean = chosen @ z / count.clamp(min=1)[..., None]  # (M, C, L)
        apart = torch.where(present[..., None], z - mean[:, T], 0.0)
        # A context's first row of a batch says nothing of the spread.
        free = (count - 1).clamp(min=0).sum(1, keepdim=True)  # (M, 1)
        spread = apart.square().sum(1) / free.clamp(min=1)  # (M, L)
        batches = (self.batches + (free > 0)).clamp(max=MEMORY / z.shape[1] + 1)
        share = (free > 0) / batches.clamp(min=1)
        self.variance.lerp_(spread.to(self.variance), share.to(self.variance))
        self.batches.copy_(batches)
        rows = (self.rows + count).clamp(max=MEMORY)
        share = (count / rows.clamp(min=1)).clamp(max=1)
        self.mean.lerp_(mean.to(self.mean), share[..., None].to(self.mean))
        self.rows.copy_(rows)

    def forward(self, z: Tensor, T: Tensor | None, of: slice = slice(None)) -> Tensor:
        """z (M, R, ..., L) standardised, in T (R,) or none, of all modalities or of some."""
        rows, mean = self.rows[of, :, None], self.mean[of]  # (M, C, 1), (M, C, L)
        overall = (rows * mean).sum(1, keepdim=True) / rows.sum(1, keepdim=True).clamp(min=1)
        if T is None:
            place = overall
        else:  # a context that was never seen stands amid the others
            place = torch.where(rows > 0, mean, overall).index_select(1, T)
        variance = self.variance[of, None]  # (M, 1, L)
        varies = variance > 1e-10 * overall.square()  # more than rounding
        factor = torch.where(varies, variance, 1.0).rsqrt()
        between = [1] * (z.dim() - 3)
        place, factor = (x.view(*x.shape[:2], *between, x.shape[2]) for x in (place, factor))
        return (z - place) * factor
