"""The table of `flatness` in words; each follows from an interval or a spread."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pnpfuse.findings import condition_label
from pnpfuse.fusion.arguments import check_number
from pnpfuse.sweep.sensitivity import ALONG, SIDES

ROUNDING = 1e-9  # of a slope, in percent or in a loss


def flatness_said(flat: xr.Dataset, margin: float = 1.0) -> list[str]:
    """The table of `flatness` in words, a sentence a condition.

    Parameters
    ----------
    flat : xarray.Dataset
        From `flatness`.
    margin : float
        "flat" is said where the interval leaves room for no larger change over the whole side,
        in the variable's units (points for an accuracy). A wider interval decides nothing.
    """
    margin = check_number("margin", margin, 0)
    said = []
    for condition in flat["condition"].values:
        sides = [flat.sel(condition=condition, side=side) for side in SIDES]
        told = "; ".join(f"{_where(one)}: {_told(one, margin)}" for one in sides)
        label = condition_label(str(condition))
        said.append(f"{label[0].upper()}{label[1:]}: {told}.")
    return said


def _where(one: xr.Dataset) -> str:
    sign = "<" if str(one["side"].item()) == SIDES[0] else ">="
    where = f"n b {sign} {one.attrs['at']:g}"
    if not int(one["cells"]):
        return where
    return f"{where} ({float(one['least']):.3g} to {float(one['most']):.3g})"


def _told(one: xr.Dataset, margin: float) -> str:
    """One condition's side in words."""
    points = one["spread"].attrs["units"] == "points"
    unit, digits = (" points", 1) if points else ("", 3)
    slopes = {along: _Slope(one.sel(along=along), digits) for along in ALONG}
    trend = slopes["n b"]
    if np.isnan(trend.mean):
        return "too few values of n b for a trend"
    if np.isnan(trend.low):
        return f"{trend}{unit} a decade with one seed, which cannot tell it from chance"
    if trend.certain:
        said = f"{trend}{unit} a decade"
    else:
        room = max(abs(trend.low), abs(trend.high)) * float(np.log10(one["most"] / one["least"]))
        within = f"within ±{room:.{digits}f}{unit}"
        said = f"flat {within}" if room <= margin else f"no trend seen, one {within} is possible"
        spread, chance = float(one["spread"]), float(one["chance"])
        if spread > chance:
            said += (
                f", yet the cells differ by {spread:.{digits}f}{unit} (by {chance:.{digits}f} "
                "at most if all were alike)"
            )
    if slopes["n - b"].certain:
        said += f", not by n b alone: {slopes['n']} a decade of n, {slopes['b']} a decade of b"
    return said


class _Slope:
    """A slope with its interval, in words."""

    def __init__(self, one: xr.Dataset, digits: int):
        self.mean, self.low, self.high = (
            float(one[name]) for name in ("slope", "slope_low", "slope_high")
        )
        self.digits = digits

    @property
    def certain(self) -> bool:
        """Whether its interval leaves 0 out, by more than rounding does."""
        return self.low > ROUNDING or self.high < -ROUNDING

    def __str__(self) -> str:
        said = f"{'rises' if self.mean > 0 else 'falls'} by {abs(self.mean):.{self.digits}f}"
        half = (self.high - self.low) / 2
        return said if np.isnan(half) else f"{said} ± {half:.{self.digits}f}"
