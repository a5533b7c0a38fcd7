"""The information-preservation losses of PMR Eq. 6, sPMR and rPMR."""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

METRICS = ("mse", "cosine")
REDUCTIONS = ("mean", "sum")

# A row whose entries are all smaller counts as zero: the gradient of a cosine goes as 1/length.
_SHORTEST = 1e-30


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
    target, reconstruction = _widen(target), _widen(reconstruction)  # (g, batch, width)
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
    return 1 - (unit(target) * unit(reconstruction)).sum(-1)  # (..., batch)


def unit(x: Tensor) -> Tensor:
    """x/|x| of each row (..., width); a zero row as it is: its cosine is 0, its gradient finite."""
    # Over the largest entry first, so that no square over- or underflows. A cosine knows no scale,
    # hence this one may count as a constant.
    largest = x.detach().abs().amax(-1, keepdim=True)  # (..., 1)
    zero = largest < _SHORTEST  # (..., 1)
    scaled = x / largest.masked_fill(zero, 1.0)  # (..., width)
    squared = scaled.square().sum(-1, keepdim=True)  # (..., 1), at least 1 if not zero
    # Filled before the root: 1/sqrt(0) would make the gradient inf * 0.
    return scaled * squared.masked_fill(zero, 1.0).rsqrt()


def _widen(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
