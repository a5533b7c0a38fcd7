"""Numbers and names in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def span(values: Iterable[float], form: str = ".3g") -> str:
    """Smallest and largest of some numbers, as in "0.1 to 4"; one where they read the same."""
    values = list(values)
    low, high = (f"{value:z{form}}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def listed(values: Iterable[float | str]) -> str:
    """With commas and an "and", as in "0.118, 4 and 30" or "A, B and C"."""
    said = [value if isinstance(value, str) else f"{value:.3g}" for value in values]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
