"""The numbers of a cell as tensors: checked and broadcast; and where results belong."""

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

NAMES = ("length_ratio", "voltage", "charge_ratio")
Numbers = tuple[Tensor, Tensor, Tensor]


class Home(NamedTuple):
    """Where results belong: the solve itself is in float64 on the CPU."""

    dtype: torch.dtype
    device: torch.device

    def take(self, result: Tensor) -> Tensor:
        return result.to(self.dtype).to(self.device)


def as_numbers(*values: Any) -> tuple[Numbers, Home]:
    """Return the three numbers of cells, broadcast, in float64 on the CPU, and their home.

    Raises
    ------
    ValueError
        For a value that is not above 0, and shapes or devices that do not fit.
    """
    given = dict(zip(NAMES, values, strict=True))
    own = [value for value in given.values() if isinstance(value, Tensor)]
    devices = {one.device for one in own} or {torch.device("cpu")}
    if len(devices) > 1:
        places = ", ".join(sorted(map(str, devices)))
        raise ValueError(f"{', '.join(NAMES)}: got tensors on {places}; give them on one device")
    floating = [one.dtype for one in own if one.is_floating_point()]
    dtype = functools.reduce(torch.promote_types, floating or [torch.get_default_dtype()])
    tensors = [_above_zero(name, value) for name, value in given.items()]
    try:
        length, voltage, charge = torch.broadcast_tensors(*tensors)
    except RuntimeError:
        each = zip(NAMES, tensors, strict=True)
        shapes = ", ".join(f"{name} {tuple(one.shape)}" for name, one in each)
        raise ValueError(f"{shapes}: give shapes that broadcast against each other") from None
    return (length, voltage, charge), Home(dtype, devices.pop())


def as_positions(given: Any) -> Tensor:
    """Return positions in float64 on the CPU; ValueError for those outside of the cell."""
    at = _in_float64("positions", given)
    if not bool(((at >= 0.0) & (at <= 1.0)).all()):
        raise ValueError("positions: got some outside of the cell; give x/l from 0 to 1")
    return at


def _above_zero(name: str, value: Any) -> Tensor:
    numbers = _in_float64(name, value)
    wrong = numbers.detach()[~(torch.isfinite(numbers) & (numbers > 0.0))]
    if wrong.numel():
        raise ValueError(f"{name}: got {wrong[0].item():g}; give finite numbers above 0")
    return numbers


def _in_float64(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value.is_complex() or value.dtype == torch.bool:
            raise ValueError(f"{name}: got {value.dtype}; give real numbers")
        return value.cpu().to(torch.float64)
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{name}: got {value!r:.60}; give numbers or a tensor") from None
