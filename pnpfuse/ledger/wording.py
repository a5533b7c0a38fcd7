"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def listed(values: Iterable[float]) -> str:
    """Numbers with commas and an "and", as in "0.118, 4 and 30"."""
    *before, last = [f"{value:.3g}" for value in values]
    return f"{', '.join(before)} and {last}" if before else last
