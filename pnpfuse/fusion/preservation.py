"""The information-preservation losses of PMR Eq. 6, sPMR and rPMR."""

import torch
from torch import Tensor

METRICS = ("mse", "cosine")
REDUCTIONS = ("mean", "sum")

# A row whose entries are all smaller counts as zero: the gradient of a cosine goes as 1/length.
_SHORTEST = 1e-30


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
    return 1 - (_unit(target) * _unit(reconstruction)).sum(-1)  # (batch,)


def _unit(x: Tensor) -> Tensor:
    """x/|x| of each row (batch, l_m); a zero row as it is: its cosine is 0, its gradient finite."""
    # Over the largest entry first, so that no square over- or underflows. A cosine knows no scale,
    # hence this one may count as a constant.
    largest = x.detach().abs().amax(-1, keepdim=True)  # (batch, 1)
    zero = largest < _SHORTEST  # (batch, 1)
    scaled = x / largest.masked_fill(zero, 1.0)  # (batch, l_m)
    squared = scaled.square().sum(-1, keepdim=True)  # (batch, 1), at least 1 if not zero
    # Filled before the root: 1/sqrt(0) would make the gradient inf * 0.
    return scaled * squared.masked_fill(zero, 1.0).rsqrt()


def _widen(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
