"""The values of a sweep as they are drawn and reckoned with: ascending, percent, gaps as NaN."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.sweep.dataset import DIVERGED, FINISHED, OUTCOME, POINT


def check_sweep(sweep: xr.Dataset) -> xr.Dataset:
    """A sweep with n and b ascending; ValueError for what is none."""
    if not isinstance(sweep, xr.Dataset):
        raise ValueError(f"sweep: got {type(sweep).__name__}; give the Dataset of run_sweep")
    absent = [dim for dim in POINT if dim not in sweep.dims or dim not in sweep.coords]
    if absent:
        raise ValueError(
            f"sweep has the dimensions {list(sweep.dims)}, without {', '.join(absent)}; give the "
            "Dataset of run_sweep, of single values as sel(n=[4])"
        )
    if not all(sweep.sizes[dim] for dim in POINT):
        raise ValueError(f"sweep has no points: its sizes are {dict(sweep.sizes)}")
    return sweep.sortby(["n", "b"])


def values_of(sweep: xr.Dataset, variable: str) -> xr.DataArray:
    """A variable over (n, b, seed, ...), NaN where a point has no result, accuracies in percent.

    Raises
    ------
    ValueError
        for a Dataset that is no sweep, and for a variable that it does not have at every point
    """
    sweep = check_sweep(sweep)
    if variable not in sweep or not set(POINT) <= set(sweep[variable].dims):
        raise ValueError(f"sweep has no {variable!r} over its points; {_offered(sweep)}")
    values = sweep[variable].transpose(*POINT, ...)
    if OUTCOME in sweep:
        values = values.where(sweep[OUTCOME] == FINISHED)
    if not np.isfinite(values).any():
        gone = OUTCOME in sweep and (sweep[OUTCOME] == DIVERGED).any()
        cure = "what ran has diverged, lower lr" if gone else "run it first"
        raise ValueError(f"sweep has no finished point with a value of {variable!r}: {cure}")
    return values * 100 if is_percent(variable) else values.astype(float)


def is_percent(variable: str) -> bool:
    """Whether a variable is a share that is told in percent."""
    return variable.endswith("accuracy") or variable == "conflict_rate"


def axis_label(variable: str) -> str:
    """A variable's name and unit for an axis."""
    said = variable.replace("_", " ")
    return f"test {said} / %" if variable.endswith("accuracy") else (
        f"{said} / %" if is_percent(variable) else said
    )  # fmt: skip


def diverged(sweep: xr.Dataset) -> xr.DataArray:
    """How many seeds diverged at each (n, b)."""
    if OUTCOME not in sweep:
        return xr.zeros_like(sweep["n"] * sweep["b"], dtype=int)
    return (sweep[OUTCOME] == DIVERGED).sum("seed").transpose("n", "b")


class Best(NamedTuple):
    """The best cell of a panel, and those that cannot be told from it.

    Attributes
    ----------
    place : indices (n, b) of the best
    mean : over the seeds, there
    error : standard error of such a mean, NaN for one seed
    near : bool (n, b), cells whose mean is within `error` of the best; all False for one seed
    """

    place: tuple[int, int]
    mean: float
    error: float
    near: NDArray[np.bool_]


def best_cells(values: xr.DataArray, lowest: bool = False) -> Best | None:
    """The best of a variable's cells over (n, b, seed), None if there is no cell to compare.

    Those with a seed that has not finished are not compared: what diverges is not good because
    its other seeds are. A seed that has finished nothing is left out. The error takes the
    deviation of the seeds in all cells together: that of one, from a few seeds, is too uncertain
    to choose by.
    """
    values = values.transpose(*POINT)
    values = values.isel(seed=values.notnull().any(["n", "b"]).values)
    values = values.where(values.notnull().all("seed"))
    mean = values.mean("seed").values * (-1 if lowest else 1)  # (n, b)
    if not np.isfinite(mean).any():
        return None
    i, j = (int(k) for k in np.unravel_index(np.nanargmax(mean), mean.shape))
    error = np.nan
    if (seeds := values.sizes["seed"]) > 1:
        error = float(np.sqrt(values.var("seed", ddof=1).mean() / seeds))
    near = mean >= mean[i, j] - error  # False where NaN
    return Best((i, j), float(-mean[i, j] if lowest else mean[i, j]), error, near)


def product(values: xr.DataArray | xr.Dataset) -> NDArray[np.float64]:
    """N b of every cell, (n, b); what is 1 but for rounding is 1."""
    found = np.multiply.outer(values["n"].values.astype(float), values["b"].values.astype(float))
    return np.round(found, 12)


def _offered(sweep: xr.Dataset) -> str:
    able = [str(name) for name, found in sweep.data_vars.items() if set(POINT) <= set(found.dims)]
    return f"take one of {', '.join(name for name in able if name != OUTCOME) or 'another Dataset'}"
