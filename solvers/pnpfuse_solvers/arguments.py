"""Checks at the border: one ValueError that names the argument, what was found, what would do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

ORDERS = (2, 4, 6)
MOST_NODES = 10_000_000


def finite_number(name: str, value: Any, unit: str = "") -> float:
    """Return ``value`` as a float; ValueError where it is not one finite real number."""
    wanted = f"number in {unit}" if unit else "number"
    try:
        if isinstance(value, bool | np.bool_ | bytes) or np.iscomplexobj(value):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: got {value!r:.60}; give one real {wanted}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: got {number}; give a finite {wanted}")
    return number


def positive(name: str, value: Any, unit: str) -> float:
    """Return ``value`` as a float above 0."""
    number = finite_number(name, value, unit)
    if number <= 0.0:
        raise ValueError(f"{name}: got {number:g}; give a value above 0 in {unit}")
    return number


def pair(name: str, value: Any, unit: str) -> tuple[float, float]:
    """Return two numbers, (left, right)."""
    if (
        isinstance(value, str | bytes)
        or not isinstance(value, Sequence | np.ndarray)
        or np.ndim(value) != 1
        or len(value) != 2
    ):
        raise ValueError(f"{name}: got {value!r}; give (left, right), two numbers in {unit}")
    left = finite_number(f"{name}[0]", value[0], unit)
    return left, finite_number(f"{name}[1]", value[1], unit)


def listed(name: str, values: Sequence[float]) -> list[float]:
    """Return a list of finite numbers, one a species."""
    listed = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str | bytes)
    if not listed or np.ndim(values) != 1:
        raise ValueError(f"{name}: got {values!r:.60}; give a list of numbers, one a species")
    return [finite_number(f"{name}[{i}]", value) for i, value in enumerate(values)]


def check_nodes(nodes: Any) -> None:
    """Refuse what is no whole number from 11 to ``MOST_NODES``."""
    whole = isinstance(nodes, int | np.integer) and not isinstance(nodes, bool)
    if not whole or not 11 <= nodes <= MOST_NODES:
        raise ValueError(
            f"nodes: got {nodes!r:.60}; give a whole number of at least 11 and at most {MOST_NODES}"
        )


def check_accuracy(tol: Any, order: Any) -> float:
    """Return ``tol`` as a float; refuse tolerances and orders that no solver has."""
    number = finite_number("tol", tol)
    if not 1e-14 <= number <= 1e-2:
        raise ValueError(f"tol: got {number:g}; give a value from 1e-14 to 1e-2")
    if not isinstance(order, int | np.integer) or order not in ORDERS:
        raise ValueError(f"order: got {order!r:.60}; give one of 2, 4, 6")
    return number
