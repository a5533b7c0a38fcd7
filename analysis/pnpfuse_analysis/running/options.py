"""What an accumulator was told to do, so that only those told the same are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor


def check_function(function: Callable[..., Any]) -> None:
    """Raise ValueError unless function can be called."""
    if not callable(function):
        raise ValueError(f"function must be a callable of a batch, found {function!r}")


def described(value: Any) -> str:
    """Return a text that tells an option from another, the same after a copy or a pickle."""
    if isinstance(value, Tensor | np.ndarray):
        return repr(value.tolist())
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}={described(part)}' for name, part in value.items())}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(described, value))})"
    if isinstance(value, partial):
        return f"partial{described((value.func, value.args, value.keywords))}"
    name = getattr(value, "__qualname__", None)
    if name is not None:
        # A lambda or inner function has a name like others, but copies share it: no pickle can.
        return repr(value) if "<" in name else f"{value.__module__}.{name}"
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text
