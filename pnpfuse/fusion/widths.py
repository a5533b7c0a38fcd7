"""Widths of a reconfiguration block: modality dims, magnification n and boundary b."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple

from torch import nn

from pnpfuse.fusion.arguments import check_count, check_number

Ratio = float | Mapping[str, float]
WIDEST = 2**31  # of any layer: a mistyped width is told before the memory is gone


class Widths(NamedTuple):
    """All the widths that a block is built from, in the order of its modalities.

    Attributes
    ----------
    dims : {modality: l_m}, widths of the features
    common : l* = min l_m, width of a shared part
    expanded : {modality: n l_m}, widths after dissolving
    boundary : {modality: B_m}, how many of the expanded features are the shared part
    """

    dims: dict[str, int]
    common: int
    expanded: dict[str, int]
    boundary: dict[str, int]


def check_dims(dims: Mapping[str, int], at_least: int = 1) -> dict[str, int]:
    """`dims` as a plain ordered dict of ints, or a ValueError that says what is wrong.

    Names become parts of parameter names, so a name must be a string without a dot and must
    not be an attribute of `torch.nn.ModuleDict` (as "values" or "type" are) or of
    `torch.nn.ParameterDict` (as "get" or "copy" are).
    """
    if not isinstance(dims, Mapping):
        raise ValueError(f"dims must be a mapping {{modality: width}}; found {type(dims).__name__}")
    if len(dims) < at_least:
        raise ValueError(
            f"dims names {len(dims)} modalities ({', '.join(map(str, dims)) or 'none'}); "
            f"at least {at_least} are needed"
        )
    taken = (nn.ModuleDict(), nn.ParameterDict())
    checked = {}
    for name, width in dims.items():
        usable = isinstance(name, str) and name and "." not in name
        if not usable or any(hasattr(one, name) for one in taken):
            raise ValueError(
                f"dims has the modality name {name!r}; use a non-empty string without a dot that "
                "is no attribute of torch.nn.ModuleDict or ParameterDict, for example 'text'"
            )
        checked[name] = check_count(f"dims[{name!r}]", width, most=WIDEST)
    return checked


def check_width(width: int, argument: str = "width") -> int:
    """`width` as an int, or a ValueError that says what is wrong."""
    return check_count(argument, width, most=WIDEST)


def split_widths(dims: Mapping[str, int], n: float = 4, b: Ratio = 0.5) -> Widths:
    """The widths of PMR Eq. 4-5 with the boundary of GMF Algorithm 2.

    Parameters
    ----------
    dims : {modality: l_m}, two or more; their order is the cycle
    n : magnification factor, real, above 0; n l_m is rounded to an integer, from 2 to 2**31
    b : boundary as a ratio of n l_m, strictly between 0 and 1; one number, or one a modality

    Notes
    -----
    B_m = floor(b n l_m), kept within 1 and n l_m - 1 so that neither part is empty.
    """
    dims = check_dims(dims, at_least=2)
    n = check_number("n", n, 0, WIDEST)
    if n == 0:
        raise ValueError("n must be above 0; found 0")
    expanded, boundary = {}, {}
    for name, ratio in _ratios(b, dims).items():
        width = round(n * dims[name])
        if not 2 <= width <= WIDEST:
            raise ValueError(
                f"n * dims[{name!r}] is {width}; it must be from 2 to {WIDEST}: "
                f"{'raise' if width < 2 else 'lower'} n"
            )
        expanded[name] = width
        # A ratio that means a whole number of channels, 0.29 of 100, may miss it by rounding.
        boundary[name] = min(max(math.floor(ratio * width + 1e-9), 1), width - 1)
    return Widths(dims, min(dims.values()), expanded, boundary)


def next_power(width: int) -> int:
    """The smallest power of two that is not below `width`."""
    return 1 << (width - 1).bit_length()


def _ratios(b: Ratio, dims: dict[str, int]) -> dict[str, float]:
    if isinstance(b, Mapping):
        if set(b) != set(dims):
            raise ValueError(
                f"b names the modalities {sorted(map(str, b))}; give one ratio for each of "
                f"{list(dims)}, or one number for all"
            )
        ratios = {name: b[name] for name in dims}
    else:
        ratios = dict.fromkeys(dims, b)
    for name, ratio in ratios.items():
        number = not isinstance(ratio, bool) and isinstance(ratio, Real)
        if not number or not 0 < ratio < 1:
            raise ValueError(
                f"b is {ratio!r} for modality {name!r}; it must be a ratio strictly between 0 and 1"
            )
    return {name: float(ratio) for name, ratio in ratios.items()}
