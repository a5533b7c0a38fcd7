"""The information-preservation losses of PMR Eq. 6, sPMR and rPMR."""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from pnpfuse.fusion.precision import widen

METRICS = ("mse", "cosine")
REDUCTIONS = ("mean", "sum")

# A row whose entries are all smaller counts as zero: the gradient of a cosine goes as 1/length.
SHORTEST = 1e-30


def preservation(
    target: Tensor,
    reconstruction: Tensor,
    keep: Tensor | None,
    *,
    metric: str,
    reduction: str,
) -> Tensor:
    """Sum over the modalities of the mean over the batch of each sample's error, a scalar.

    Parameters
    ----------
    target, reconstruction : (g, batch, width) for g modalities of one width
    keep : bool (g, batch), the terms to keep, or None for all; a modality with no term left
        contributes 0
    metric : "mse", the squared error of the sPMR form, or "cosine", the 1 - cos of the rPMR form
    reduction : "mean" or "sum" over the features of a squared error; a cosine sums over them
        by itself, so there the two agree
    """
    # Half precision would lose the sum of squares of a wide feature vector.
    target, reconstruction = widen(target), widen(reconstruction)  # (g, batch, width)
    if keep is None and metric == "mse":
        g, batch, _ = target.shape
        total = mse_loss(reconstruction, target, reduction=reduction)  # ()
        return total * g if reduction == "mean" else total / batch
    error = sample_error(target, reconstruction, metric, reduction)  # (g, batch)
    if keep is None:
        return error.mean(-1).sum()
    kept = torch.where(keep, error, torch.zeros_like(error))  # (g, batch)
    return (kept.sum(-1) / keep.sum(-1).clamp(min=1)).sum()  # 0/0 -> 0


def sample_error(target: Tensor, reconstruction: Tensor, metric: str, reduction: str) -> Tensor:
    """Error (..., batch) of each row of target and reconstruction (..., batch, width)."""
    if metric == "mse":
        squared = (target - reconstruction).square()  # (..., batch, width)
        return squared.mean(-1) if reduction == "mean" else squared.sum(-1)
    # Both at once: these are many small operations.
    scaled, squared = _scaled(torch.stack([target, reconstruction]))
    (t, r), (tt, rr) = scaled.unbind(), squared.unbind()
    return 1 - (t * r).sum(-1) * (tt * rr).rsqrt()  # (..., batch)


def unit(x: Tensor) -> Tensor:
    """x/|x| of each row (..., width); a zero row as it is."""
    scaled, squared = _scaled(x)
    return scaled * squared.rsqrt()[..., None]


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    """x over the largest entry of each row (..., width), and that row's square (...).

    A zero row stays as it is, with 1 for its square: its cosine is 0, its gradient finite.
    """
    # A cosine knows no scale: the largest entry may count as a constant, and divided by it no
    # square over- or underflows.
    largest = x.detach().abs().amax(-1, keepdim=True)  # (..., 1)
    zero = largest < SHORTEST  # (..., 1)
    x = x / largest.masked_fill(zero, 1.0)  # (..., width)
    # Filled before the root: 1/sqrt(0) would make the gradient inf * 0.
    return x, x.square().sum(-1).masked_fill(zero[..., 0], 1.0)
