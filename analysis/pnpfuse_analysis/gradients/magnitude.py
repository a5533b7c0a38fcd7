"""Gradients of any size, at one whose squares fit into float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .conflict import dense

# Bits of a float64: 52 of the fraction, then 11 of the exponent, 1023 for 2^0.
_FRACTION, _TOP = 52, 0x7FF


def unit(
    gradients: Sequence[Sequence[Tensor]],
) -> tuple[list[tuple[Tensor, ...]], Tensor | float]:
    """Return gradients whose largest entry is between 1 and 2, and the sizes to multiply them with.

    Parameters
    ----------
    gradients : for each of K losses a sequence of Tensor, one a point
        Those of a narrower dtype are left as they are, for their squares fit.

    Returns
    -------
    gradients : list of tuple of Tensor
    sizes : Tensor, shape (K,), or 1.0
        Powers of two, with which values keep all digits.
    """
    rows = [tuple(map(dense, row)) for row in gradients]
    if not any(one.dtype == torch.float64 for row in rows for one in row):
        return rows, 1.0
    reach = torch.stack([torch.stack([_largest(one) for one in row]).amax() for row in rows])
    exponent = (reach.view(torch.int64) >> _FRACTION) & _TOP
    # What is not finite says nothing of a size.
    exponent = exponent.masked_fill(exponent == _TOP, _TOP >> 1)
    inverse = ((_TOP - 1 - exponent).clamp(max=_TOP - 2) << _FRACTION).view(torch.float64)
    scaled = [
        tuple(one.to(torch.float64) * by for one in row)
        for row, by in zip(rows, inverse, strict=True)
    ]
    return scaled, 1 / inverse


def _largest(gradient):
    """The largest absolute value () of a gradient, 0 of an empty one."""
    if not gradient.numel():
        return gradient.new_zeros((), dtype=torch.float64)
    return gradient.abs().amax().to(torch.float64)
