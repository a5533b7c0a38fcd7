"""Arithmetic that stays in float32 or wider, whatever autocast or the features ask for."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """`x` in float32 if it is half precision, else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context in which products on `x`'s device keep their operands' dtype."""
    kind = x.device.type
    # Entered only where autocast is on: an exported graph stays free of an empty region.
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
