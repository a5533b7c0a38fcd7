"""The information-preservation losses of PMR Eq. 6, sPMR and rPMR."""

import torch
from torch import Tensor

METRICS = ("mse", "cosine")
REDUCTIONS = ("mean", "sum")

# A vector shorter than 1e-12 counts as zero; below, the gradient of a cosine would overflow.
_SHORTEST_SQUARED = 1e-24


def preservation(
    target: dict[str, Tensor],
    reconstruction: dict[str, Tensor],
    keep: dict[str, Tensor] | None,
    *,
    metric: str,
    reduction: str,
) -> Tensor:
    """Sum over the modalities of the mean over the batch of each sample's error, a scalar.

    Parameters
    ----------
    target, reconstruction : {modality: (batch, l_m)}
    keep : {modality: bool (batch,)}, the terms to keep, or None for all; a modality with no term
        left contributes 0
    metric : "mse", the squared error of the sPMR form, or "cosine", the 1 - cos of the rPMR form
    reduction : "mean" or "sum" over the features of a squared error; a cosine sums over them
        by itself, so there the two agree
    """
    total = None
    for name, wanted in target.items():
        error = sample_error(wanted, reconstruction[name], metric, reduction)  # (batch,)
        if keep is None:
            mean = error.mean()
        else:
            kept = torch.where(keep[name], error, torch.zeros_like(error))  # (batch,)
            mean = kept.sum() / keep[name].sum().clamp(min=1)  # 0/0 -> 0
        total = mean if total is None else total + mean
    assert total is not None
    return total


def sample_error(target: Tensor, reconstruction: Tensor, metric: str, reduction: str) -> Tensor:
    """Error of each sample, (batch,), in float32 at least."""
    # Half precision would lose the sum of squares of a wide feature vector.
    target, reconstruction = _widen(target), _widen(reconstruction)  # (batch, l_m)
    if metric == "mse":
        squared = (target - reconstruction).square()  # (batch, l_m)
        return squared.mean(-1) if reduction == "mean" else squared.sum(-1)
    product = (target * reconstruction).sum(-1)  # (batch,)
    return 1 - product * _inverse_norm(target) * _inverse_norm(reconstruction)


def _inverse_norm(x: Tensor) -> Tensor:
    """1/|x| of each row; 1 for a zero row, so that its cosine is 0 with a finite gradient."""
    squared = x.square().sum(-1)  # (batch,)
    # The inner where keeps 1/sqrt(0) out of the backward pass too: inf * 0 would be NaN.
    return torch.where(squared > _SHORTEST_SQUARED, squared, torch.ones_like(squared)).rsqrt()


def _widen(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
