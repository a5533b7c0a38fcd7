"""Checks of single arguments: each hands the value back as a plain one, or raises ValueError."""

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

LARGEST = 2**63 - 1  # what a seed of torch and an entry of an int64 tensor can be


def check_count(argument: str, value: Any, least: int = 1, most: int = LARGEST) -> int:
    """`value` as an int from `least` to `most`."""
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if isinstance(value, bool) or not least <= count <= most:
        limits = f"from {least} to {most}" if count > most else f"of at least {least}"
        raise ValueError(f"{argument} must be an integer {limits}; found {value!r}")
    return count


def check_seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """The seeds meant by a count, which means 0, 1, ..., or by the seeds themselves."""
    try:
        given = list(seeds)  # type: ignore[arg-type]
    except TypeError:
        given = list(range(check_count("seeds", seeds)))
    listed = [check_count("seeds", seed, least=0) for seed in given]
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be a count or different numbers; found {seeds!r}")
    return tuple(listed)


def check_number(argument: str, value: Any, least: float = 0, most: float = math.inf) -> float:
    """`value` as a finite float from `least` to `most`."""
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
    if not least <= number <= most or math.isinf(number):
        limits = f" of at least {least}" if math.isinf(most) else f" from {least} to {most}"
        limits = "" if math.isinf(least) else limits
        raise ValueError(f"{argument} must be a finite number{limits}; found {value!r}")
    return number


def check_probability(argument: str, value: Any) -> float:
    """`value` as a float in [0, 1)."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise ValueError(f"{argument} must be a probability in [0, 1); found {value!r}")
    return float(value)


def check_choice(argument: str, value: Any, accepted: Iterable[str | None]) -> Any:
    """`value`, if it is one of `accepted`."""
    accepted = list(accepted)
    # A list or an array cannot be looked up, or compares entry by entry.
    if not (value is None or isinstance(value, str)) or value not in accepted:
        raise ValueError(f"{argument} must be one of {accepted}; found {value!r}")
    return value


def check_switch(argument: str, value: Any) -> bool:
    """`value`, if it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{argument} must be True or False; found {value!r}")
    return value
