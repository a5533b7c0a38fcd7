"""The numbers of a cell as tensors: checked, broadcast and on one device."""

from typing import Any

import torch
from torch import Tensor

NAMES = ("length_ratio", "voltage", "charge_ratio")
Numbers = tuple[Tensor, Tensor, Tensor]


def as_tensors(*values: Any) -> tuple[Numbers, torch.dtype]:
    """Return the three numbers broadcast, on one device, and the dtype of the results.

    Raises
    ------
    ValueError
        For a value that is not above 0, and shapes or devices that do not fit.
    """
    given = dict(zip(NAMES, values, strict=True))
    tensors = {}
    for name, value in given.items():
        try:
            plain = None if isinstance(value, Tensor) else torch.float64  # a float keeps its digits
            tensors[name] = torch.as_tensor(value, dtype=plain)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"{name}: got {value!r:.60}; give a number or a tensor") from None
        if tensors[name].is_complex() or tensors[name].dtype == torch.bool:
            raise ValueError(f"{name}: got {tensors[name].dtype}; give real numbers")
    own = [tensors[name] for name, value in given.items() if isinstance(value, Tensor)]
    dtype = torch.get_default_dtype()
    floating = [one.dtype for one in own if one.is_floating_point()]
    for k, one in enumerate(floating):
        dtype = torch.promote_types(dtype, one) if k else one
    devices = {one.device for one in own}
    if len(devices) > 1:
        raise ValueError(f"{', '.join(given)}: got tensors on {devices}; give them on one device")
    device = devices.pop() if devices else torch.device("cpu")
    for name, value in tensors.items():
        wrong = value.detach()[~(torch.isfinite(value) & (value > 0.0))]
        if wrong.numel():
            raise ValueError(f"{name}: got {wrong[0].item():g}; give finite numbers above 0")
    try:
        broadcast = torch.broadcast_tensors(*(one.to(device) for one in tensors.values()))
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(one.shape)}" for name, one in tensors.items())
        raise ValueError(f"{shapes}: give shapes that broadcast against each other") from None
    length, voltage, charge = broadcast
    return (length, voltage, charge), dtype


def as_positions(given: Any, device: torch.device) -> Tensor:
    """Return positions as float64 on a device; ValueError for those outside of the cell."""
    try:
        at = torch.as_tensor(given, dtype=torch.float64, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"positions: got {given!r:.60}; give numbers or a tensor") from None
    if not bool(((at >= 0.0) & (at <= 1.0)).all()):
        raise ValueError("positions: got some outside of the cell; give x/l from 0 to 1")
    return at
