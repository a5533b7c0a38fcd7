"""The border: what users hand in becomes checked float64 tensors, on the device it came on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = Tensor | NDArray[Any]

_DISCRETE = (
    "must be continuous for a nearest-neighbour estimate, found {dtype}; for whole numbers that "
    "stand for measurements pass {name}.to(torch.float64) knowingly, for labels use "
    "method='discrete', 'label' or 'probe'"
)


def widest(device: torch.device) -> torch.dtype:
    """Return the widest real dtype of a device: float64, but float32 on Apple's MPS."""
    return torch.float32 if device.type == "mps" else torch.float64


def rounding(x: Array) -> float:
    """Return the relative rounding step with which the values of x were stored."""
    dtype = as_tensor(x[:0], "x").dtype
    return torch.finfo(dtype).eps if dtype.is_floating_point else torch.finfo(torch.float64).eps


def as_tensor(x: Array, name: str) -> Tensor:
    """Return a tensor as it is, or a NumPy array as a tensor of its own; `name` is for messages."""
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, np.ndarray):
        raise ValueError(
            f"{name} must be a torch tensor or a NumPy array, found {type(x).__name__}"
        )
    if np.ma.is_masked(x):
        raise ValueError(
            f"{name} must have no masked values, found {np.ma.count_masked(x)}; drop those rows or "
            f"fill them, as in {name}.filled(value)"
        )
    try:
        # A copy: NumPy's memory may be read-only, or have negative strides or foreign byte order,
        # which torch cannot share.
        return torch.as_tensor(np.array(x, x.dtype.newbyteorder("=")), device="cpu")
    except TypeError:
        raise ValueError(
            f"{name} must hold numbers of a dtype that torch has, found {x.dtype}; convert them, "
            f"as in {name}.astype(float)"
        ) from None


def as_samples(x: Array, name: str, *, continuous: bool = True) -> Tensor:
    """Return x as a detached (N, d) tensor in float64.

    Parameters
    ----------
    x : Tensor or ndarray, shape (N,) or (N, d)
        Real samples; half precision is widened.
    name : str
        The argument's name, for messages.
    continuous : bool
        Refuse integers and booleans.

    Raises
    ------
    ValueError
        On another type, a wrong shape, no samples, complex, integer (if continuous), masked or
        non-finite values.
    """
    samples = as_tensor(x, name).detach()
    if samples.ndim not in (1, 2) or 0 in samples.shape:
        raise ValueError(
            f"{name} must have shape (N,) or (N, d) with N, d >= 1, found {tuple(samples.shape)}; "
            f"flatten further axes, as in {name}.reshape(N, -1)"
        )
    if samples.is_complex():
        raise ValueError(f"{name} must be real, found {samples.dtype}; stack its parts as columns")
    if continuous and not samples.is_floating_point():
        raise ValueError(f"{name} {_DISCRETE.format(name=name, dtype=samples.dtype)}")
    samples = samples.to(widest(samples.device))
    bad = samples.numel() - int(torch.isfinite(samples).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, found {bad} NaN or infinite values; drop or impute those rows"
        )
    return samples[:, None] if samples.ndim == 1 else samples


def as_labels(x: Array, name: str) -> Tensor:
    """Return labels as codes 0 ... K - 1 of their sorted values: a detached (N,) of int64.

    Parameters
    ----------
    x : Tensor or ndarray, shape (N,) or (N, d)
        Whole numbers, booleans, or a NumPy array of strings; a row of several is one label.
    name : str
        The argument's name, for messages.

    Raises
    ------
    ValueError
        On another type, a wrong shape, no samples, real, complex or masked values.
    """
    if _holds_strings(x):
        x = np.unique(x, return_inverse=True)[1].reshape(x.shape)
    labels = as_tensor(x, name).detach()
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"{name} must hold labels (whole numbers, booleans or strings), found {labels.dtype}; "
            f"if its values stand for classes pass {name}.long() knowingly"
        )
    if labels.ndim not in (1, 2) or 0 in labels.shape:
        raise ValueError(
            f"{name} must have shape (N,) or (N, d) with N, d >= 1, found {tuple(labels.shape)}"
        )
    rows = labels.to(torch.int64).reshape(len(labels), -1)
    return torch.unique(rows, dim=0, return_inverse=True)[1].reshape(-1)


def holds_labels(x: Array, name: str) -> bool:
    """Whether x holds whole numbers, booleans or strings, as labels do; `name` is for messages."""
    if _holds_strings(x):
        return True
    dtype = as_tensor(x, name).dtype
    return not (dtype.is_floating_point or dtype.is_complex)


def _holds_strings(x):
    """Whether x is a NumPy array of nothing but strings."""
    if not isinstance(x, np.ndarray) or np.ma.is_masked(x):
        return False
    return x.dtype.kind in "US" or (
        x.dtype.kind == "O" and x.size > 0 and all(isinstance(one, str) for one in x.flat)
    )


def standard_columns(x: Tensor) -> Tensor:
    """Return the columns of x (N, d) that vary, at unit variance; one of zeros if none does."""
    columns = standardised(x)[0]
    return columns if columns.shape[1] else torch.zeros_like(x[:, :1])


def standardised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the columns of x that vary, centred and with unit variance.

    Returns
    -------
    z : Tensor, shape (N, d')
        Constant columns are left out, so d' <= d.
    scale : Tensor, shape (d',)
        Standard deviation (divisor N - 1) of each column kept.
    kept : Tensor, shape (d',)
        Indices of those columns.
    """
    kept = (x.amax(0) > x.amin(0)).nonzero()[:, 0]
    x = x[:, kept]
    # Scaled to order one before squaring, so that 1e-200 and 1e200 are as good as 1.
    reach = (x.amax(0) / 2 - x.amin(0) / 2).clamp(min=torch.finfo(x.dtype).tiny)
    z = x / reach
    z = z - z.mean(0)
    spread = (z.square().sum(0) / (len(x) - 1)).sqrt()
    return z / spread, spread * reach, kept


def square_scale(reach: Tensor) -> float:
    """Return the power of two that takes a reach () to where its square is far from overflow.

    Values times a power of two keep all digits. Then 2^64 squares of the reach may be added up, and
    in float64 values down to 1e-290 of it still have a square. NaN if the reach is not finite.
    """
    size = float(reach.detach())
    if not math.isfinite(size):
        return math.nan
    top = math.frexp(torch.finfo(reach.dtype).max)[1]
    shift = top // 2 - 32 - math.frexp(size)[1]
    return math.ldexp(1.0, max(24 - top, min(shift, top - 24)))


def tie_fraction(x: Tensor) -> float:
    """Return the share of the rows of x that have an exact copy among the other rows."""
    candidates = x[_shares_its_hash(x)]
    if not len(candidates):
        return 0.0
    _, which, copies = torch.unique(candidates, dim=0, return_inverse=True, return_counts=True)
    return float((copies[which] > 1).sum()) / len(x)


def _shares_its_hash(x):
    """Which rows of x (N, d) have the hash of another; equal rows always do. Sorting rows is slow.

    The hash is a sum of the bits of each value times odd numbers, in integers that wrap around.
    """
    # Zero has two signs in bits and none in value.
    bits = (x + 0.0).contiguous().view(torch.int64 if x.element_size() == 8 else torch.int32)
    half = 4 * x.element_size()
    drawn, most = seeded(None), 2 ** (8 * x.element_size() - 2)
    odd = 2 * torch.randint(most, (x.shape[1],), generator=drawn, device="cpu") + 1
    mixed = ((bits ^ (bits >> half)) * odd.to(bits)).sum(1, dtype=bits.dtype)
    ordered, order = mixed.sort()
    twin = torch.zeros_like(ordered, dtype=torch.bool)
    twin[1:] = ordered[1:] == ordered[:-1]
    twin[:-1] |= twin[1:].clone()
    return order[twin]


def seeded(generator: torch.Generator | None) -> torch.Generator:
    """Return the generator, or a new one of seed 0: torch's global one stays as it is.

    Raises
    ------
    ValueError
        If it is neither None nor a torch.Generator.
    """
    if generator is None:
        return torch.Generator("cpu").manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            "generator must be a torch.Generator, as torch.Generator().manual_seed(0) is, or None, "
            f"found {type(generator).__name__}"
        )
    return generator


def check_choice(value: str | None, name: str, choices: Sequence[str | None]) -> None:
    """Raise ValueError unless value is one of the choices."""
    if not isinstance(value, str | None) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, found {value!r}")


def check_count(value: int, name: str, least: int) -> None:
    """Raise ValueError unless value is a whole number >= least."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, found {value!r}")


def check_flag(value: bool, name: str) -> None:
    """Raise ValueError unless value is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, found {value!r}")
