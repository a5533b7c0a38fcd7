"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def span(values: Iterable[float], form: str = ".3g") -> str:
    """Smallest and largest of some numbers, as in "0.1 to 4"; one where they read the same."""
    values = list(values)
    low, high = (f"{value:z{form}}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def listed(values: Iterable[float]) -> str:
    """Numbers with commas and an "and", as in "0.118, 4 and 30"."""
    *before, last = [f"{value:.3g}" for value in values]
    return f"{', '.join(before)} and {last}" if before else last
