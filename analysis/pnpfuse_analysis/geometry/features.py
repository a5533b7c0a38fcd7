"""Features as matrices that gradients pass through: the border, centring, unit rows."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, as_tensor, widest


def as_features(x: Array, name: str, *, least: int = 1) -> Tensor:
    """Return x as (N, d) or (B, N, d) in the widest real dtype, still attached to its graph.

    Nothing here looks at the values, which would make an accelerator wait: non-finite ones make
    themselves known as NaN in the result.

    Parameters
    ----------
    x : Tensor or ndarray, shape (N,), (N, d) or (B, N, d)
        Real features of any dtype; (N,) counts as one feature a sample.
    name : str
        The argument's name, for messages.
    least : int
        The smallest N that the statistic is defined for.

    Raises
    ------
    ValueError
        On another type or shape, complex values, sparse storage, or fewer than `least` samples.
    """
    found = as_tensor(x, name)
    check_dense(found, name)
    if found.ndim not in (1, 2, 3) or 0 in found.shape:
        raise ValueError(
            f"{name} must have shape (N,), (N, d) or (B, N, d) with B, N, d >= 1, found "
            f"{tuple(found.shape)}; flatten further axes, as in {name}.reshape(N, -1)"
        )
    if found.is_complex():
        raise ValueError(f"{name} must be real, found {found.dtype}; stack its parts as columns")
    features = found[:, None] if found.ndim == 1 else found
    if features.shape[-2] < least:
        raise ValueError(
            f"{name} must hold at least {least} samples, found N={features.shape[-2]}; "
            "take a larger batch"
        )
    return features.to(widest(features.device))


def as_matrix(x: Array, name: str, *, least: int = 1) -> Tensor:
    """Return x by `as_features`, but never a batch: (N, d)."""
    found = as_features(x, name, least=least)
    if found.ndim == 3:
        raise ValueError(
            f"{name} must have shape (N,) or (N, d), found {tuple(found.shape)}; pass one matrix "
            f"{name}[i] after the other, or all rows at once as {name}.flatten(0, 1)"
        )
    return found


def as_pair(
    x: Array, y: Array, *, least: int = 1, rows: bool = False, columns: bool = False
) -> tuple[Tensor, Tensor]:
    """Return x and y by `as_features`, with the same samples (rows) or the same width (columns).

    Raises
    ------
    ValueError
        As `as_features`, or if the devices, batches, or what is asked to be the same differ.
    """
    a, b = as_features(x, "x", least=least), as_features(y, "y", least=least)
    if a.device != b.device or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(
            "x and y must be on one device and both (N, d) or both (B, N, d), found "
            f"{tuple(a.shape)} on {a.device} and {tuple(b.shape)} on {b.device}"
        )
    if rows and a.shape[-2] != b.shape[-2]:
        raise ValueError(
            "x and y must be two views of the same samples, row by row, found "
            f"N={a.shape[-2]} and N={b.shape[-2]}"
        )
    if columns and a.shape[-1] != b.shape[-1]:
        raise ValueError(
            "x and y must lie in one space, found "
            f"d={a.shape[-1]} and d={b.shape[-1]}; compare spaces of different width by cka"
        )
    return a, b


def order_one(x: Tensor) -> Tensor:
    """Return each matrix of x divided by its largest entry, so that fourth powers stay finite.

    The divisor carries no gradient: for what does not change with scale.
    """
    return x / _reach(x)


def centred(x: Tensor, *, rescale: bool = False) -> Tensor:
    """Return x without its mean over samples, and divided as in `order_one` if asked to.

    Constant columns come out as exact zeros.
    """
    first = x[..., :1, :]
    # In place from the first difference on: on large matrices a copy costs more than the sums.
    if rescale:
        # Differences and sums of the largest numbers must be finite. A power of two loses nothing.
        top = torch.finfo(x.dtype).max
        shrink = torch.where(_reach(x) > top * 2.0**-64, 2.0**-64, 1.0).to(x.dtype)
        apart = x * shrink
        apart -= first * shrink
    else:
        apart = x - first
    apart -= apart.mean(-2, keepdim=True)
    if rescale:
        apart /= _reach(apart)
    return apart


def _reach(x):
    """The largest absolute value of each matrix, 1 if that is 0: (..., 1, 1), detached."""
    x = x.detach()
    largest = torch.maximum(x.amax((-2, -1), keepdim=True), -x.amin((-2, -1), keepdim=True))
    return torch.where(largest == 0, 1, largest)


def unit_rows(x: Tensor) -> Tensor:
    """Return the rows of x at unit length; NaN for rows of zeros, which have no direction."""
    # Lengths of 1e-200 and 1e200 must survive squaring.
    rows = x / x.detach().abs().amax(-1, keepdim=True)
    return rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True)


def check_dense(x: Tensor, name: str) -> None:
    """Raise ValueError unless a tensor stores all its entries in one block."""
    if x.layout != torch.strided or x.is_nested:
        raise ValueError(f"{name} must be dense, found {x.layout}; convert it by {name}.to_dense()")


def check_positive(value: float, name: str) -> None:
    """Raise ValueError unless value is a finite number > 0."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number > 0, found {value!r}")
