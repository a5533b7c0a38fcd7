"""The information-preservation losses of PMR Eq. 6, sPMR and rPMR."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from pnpfuse.fusion.precision import widen

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
    return _CosineError.apply(target, reconstruction)[0]


class _CosineError(torch.autograd.Function):
    """1 - cos of the rows of two tensors (..., width): (...).

    Derived by hand, d(1 - cos)/dx = -(y/|y| - cos x/|x|)/|x|: what autograd records for the same
    takes a third longer, and counts beside a small block.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        (x, over_x), (y, over_y) = _units(x), _units(y)
        cosine = (x * y).sum(-1)  # (...)
        return 1 - cosine, cosine, x, y, over_x, over_y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows_x, rows_y, cosine, x, y, over_x, over_y = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the derivative of this one
            (x, over_x), (y, over_y) = _units(rows_x), _units(rows_y)
            cosine = (x * y).sum(-1)
        cosine, grad = cosine[..., None], grad[..., None]  # (..., 1)
        return (
            (cosine * x - y) * (grad * over_x) if ctx.needs_input_grad[0] else None,
            (cosine * y - x) * (grad * over_y) if ctx.needs_input_grad[1] else None,
        )


def unit(x: Tensor) -> Tensor:
    """x/|x| of each row (..., width); a zero row as it is: its cosine is 0, its gradient finite."""
    return _units(x)[0]


def _units(x: Tensor) -> tuple[Tensor, Tensor]:
    """x/|x| and 1/|x| of each row (..., width); a zero row as it is, with 1."""
    # Over the largest entry first, so that no square over- or underflows. A cosine knows no scale,
    # hence this one may count as a constant.
    largest = x.detach().abs().amax(-1, keepdim=True)  # (..., 1)
    zero = largest < _SHORTEST  # (..., 1)
    largest = largest.masked_fill(zero, 1.0)
    x = x / largest  # (..., width)
    # Filled before the root: 1/sqrt(0) would make the gradient inf * 0.
    over = x.square().sum(-1, keepdim=True).masked_fill(zero, 1.0).rsqrt()  # (..., 1)
    return x * over, over / largest
