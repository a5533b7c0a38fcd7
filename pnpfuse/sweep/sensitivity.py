"""Whether a sweep depends on n b: trends and spread on either side of n b = 1."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import studentized_range, t

from pnpfuse.fusion.arguments import check_number
from pnpfuse.provenance import provenance
from pnpfuse.sweep.cells import is_percent, values_of
from pnpfuse.sweep.dataset import POINT

SIDES = ("below", "above")
ALONG = ("n b", "n", "b", "n - b")
CONFIDENCE = 0.95
# {variable: (its dimensions within a side, what it is in units of, what it is)}
_ABOUT = {
    "slope": (("condition", "along"), "{} a decade", "change along log10, mean over the seeds"),
    "slope_error": (("condition", "along"), "{} a decade", "standard error of the slope"),
    "slope_low": (("condition", "along"), "{} a decade", "lower end of its 95 % interval"),
    "slope_high": (("condition", "along"), "{} a decade", "upper end of its 95 % interval"),
    "spread": (("condition",), "{}", "largest less smallest cell mean"),
    "chance": (("condition",), "{}", "spread that equal cells exceed once in 20 times"),
    "least": ((), "1", "least n b"),
    "most": ((), "1", "largest n b"),
    "cells": ((), "1", "cells (n, b) that all seeds have finished"),
}


def flatness(sweep: xr.Dataset, variable: str = "accuracy", *, at: float = 1.0) -> xr.Dataset:
    """Trends along n b, n and b and the spread of the cells, below some n b and from it on.

    PMR Sec. 5.4: accuracy is sensitive to n b below 1, and flat from 1 on.

    Parameters
    ----------
    sweep : xarray.Dataset
        From `run_sweep`. Cells that some seed has not finished are left out, and so are seeds
        that have finished nothing.
    variable : str
        "accuracy" and "balanced_accuracy" are in percent, their differences in points; or
        another variable over (n, b, seed, condition).
    at : float
        Where the sides meet; n b = `at` is above.

    Returns
    -------
    xarray.Dataset
        Over (side, condition, along): slope, slope_error, slope_low, slope_high. Along "n b" by
        that alone; along "n" and "b" by both together; "n - b" is the difference of these two,
        0 for what depends on n b alone.
        Over (side, condition): spread, chance. Over side: least, most, cells.
        NaN where there is nothing to tell by: a slope from too few values of n, b or n b; an
        error, an interval and chance from one seed.

    Raises
    ------
    ValueError
        for a Dataset that is no sweep, a variable without conditions, and for no cell that all
        seeds have finished

    Notes
    -----
    The seeds are the repetitions, and they are paired: what a seed does to all cells alike drops
    out. A slope is one of least squares for each seed; its interval is Student's over these. The
    chance spread is that of the studentised range (Tukey), with the scatter that remains once
    cells and seeds have had their means taken off, if it is equally large in all cells. Each
    interval holds 95 times in 100 by itself; of many, some miss.
    """
    at = check_number("at", at, 0)
    values = values_of(sweep, variable)
    if set(values.dims) != {*POINT, "condition"}:
        raise ValueError(
            f"variable must be over (n, b, seed, condition); {variable!r} is over {values.dims}"
        )
    table, n, b = _complete(values)
    above = np.round(n * b, 12) >= at  # 1 is not below 1 for a rounding error
    found = [_side(table[:, chosen], n[chosen], b[chosen]) for chosen in (~above, above)]
    unit = "points" if is_percent(variable) else "1"
    return xr.Dataset(
        {
            name: (
                ("side", *dims),
                np.stack([side[name] for side in found]),
                {"units": units.format(unit), "long_name": said},
            )
            for name, (dims, units, said) in _ABOUT.items()
        },
        coords={
            "side": ("side", list(SIDES), {"units": "1", "long_name": f"of n b = {at:g}"}),
            "condition": values["condition"],
            "along": ("along", list(ALONG), {"units": "1", "long_name": "what the slope is along"}),
        },
        attrs=provenance(
            "dependence of a sweep on n b", variable=variable, at=at, seeds=table.shape[2]
        ),
    )


def _complete(values: xr.DataArray) -> tuple[NDArray, NDArray, NDArray]:
    """(condition, cell, seed) of the cells that all seeds have finished, their n and b (cell,)."""
    cells = values.stack(cell=("n", "b")).transpose("condition", "cell", "seed")
    table = cells.values[:, :, np.isfinite(cells.values).any((0, 1))]
    whole = np.isfinite(table).all((0, 2))
    if not whole.any():
        raise ValueError(
            "sweep has no cell (n, b) that all its seeds have finished; finish it, or choose "
            "seeds with sel(seed=[...])"
        )
    n, b = (cells[name].values.astype(float)[whole] for name in ("n", "b"))
    return table[:, whole], n, b


def _side(table: NDArray, n: NDArray, b: NDArray) -> dict[str, NDArray]:
    """The numbers of one side, from (condition, cell, seed) and the cells' n and b (cell,)."""
    conditions, cells, seeds = table.shape
    found = {
        name: np.full((conditions, len(ALONG))[: len(dims)], np.nan)
        for name, (dims, _, _) in _ABOUT.items()
    }
    found["cells"] = np.array(cells)
    if not cells:
        return found
    found["least"], found["most"] = np.array((n * b).min()), np.array((n * b).max())
    # Against the first cell, equal cells have a slope of 0 and not of a rounding error.
    table = table - table[:, :1]
    slopes = np.einsum("ac,kcs->kas", _weights(n, b), table)  # (condition, along, seed)
    found["slope"] = slopes.mean(2)
    found["spread"] = np.ptp(table.mean(2), axis=1)
    if seeds > 1:
        error = slopes.std(2, ddof=1) / np.sqrt(seeds)
        half = t.ppf((1 + CONFIDENCE) / 2, seeds - 1) * error
        found["slope_error"] = error
        found["slope_low"], found["slope_high"] = found["slope"] - half, found["slope"] + half
        found["chance"] = _chance(table)
    return found


def _weights(n: NDArray, b: NDArray) -> NDArray:
    """(along, cell): the slopes are these sums over the cells; NaN for those without an answer."""
    n, b = np.log10(n), np.log10(b)
    both = np.stack([n - n.mean(), b - b.mean()])  # (2, cell)
    one = both.sum(0)
    weights = np.full((len(ALONG), len(n)), np.nan)
    if np.ptp(one) > 1e-9:
        weights[0] = one / (one @ one)
    if np.linalg.matrix_rank(both, rtol=1e-9) == 2:
        weights[1:3] = np.linalg.pinv(both).T
        weights[3] = weights[1] - weights[2]
    return weights


def _chance(table: NDArray) -> NDArray:
    """The spread (condition,) of cell means that the scatter of the seeds explains."""
    _, cells, seeds = table.shape
    if cells < 2:
        return np.zeros(len(table))
    rest = table - table.mean(2, keepdims=True)
    rest -= rest.mean(1, keepdims=True)
    freedom = (cells - 1) * (seeds - 1)
    scatter = np.sqrt((rest**2).sum((1, 2)) / freedom)
    return _range_quantile(cells, freedom) * scatter / np.sqrt(seeds)


@lru_cache
def _range_quantile(cells: int, freedom: int) -> float:
    return float(studentized_range.ppf(CONFIDENCE, cells, freedom))
