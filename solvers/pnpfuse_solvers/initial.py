"""Where the ions are when the clock starts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Discrete
from pnpfuse_solvers.grid import Array

# Amounts of an earlier result, interpolated to another mesh, may differ by this much.
SAME_AMOUNT = 0.02


def concentrations(initial: str | xr.Dataset, cell: Cell, p: Discrete) -> Array:
    """Concentrations (S, N) at t = 0 in the unit of ``Discrete.amount``."""
    c = np.tile(p.amount[:, None], (1, p.x.size))
    if not isinstance(initial, str):
        c = _interpolated(initial, cell, p.x) * p.unit
        found = (c @ p.w) / p.amount
        if np.abs(found - 1.0).max() > SAME_AMOUNT:
            raise ValueError(
                f"initial: got {found.round(4).tolist()} times the cell's amounts of "
                f"{[ion.name for ion in cell.ions]}; give a result of the same amounts"
            )
        c /= found[:, None]  # another mesh counts a little differently; amounts must not
    elif initial != "uniform":
        raise ValueError(f"initial: got {initial!r}; give 'uniform' or an earlier result")
    return np.ascontiguousarray(c)


def _interpolated(initial: xr.Dataset, cell: Cell, x: Array) -> Array:
    """Concentrations (S, N) [1/m^3] of an earlier result at the positions ``x`` [m]."""
    names = [ion.name for ion in cell.ions]
    try:
        if not isinstance(initial, xr.Dataset):
            raise TypeError(f"it is a {type(initial).__name__}, not a Dataset")
        given = initial[["concentration", "valence"]]
        given = given.isel(time=-1) if "time" in given.dims else given
        if sorted(given["species"].values) != sorted(names):
            raise ValueError(f"it has the ions {given['species'].values.tolist()}")
        given = given.sel(species=names)
        if not np.allclose(given["valence"], [ion.valence for ion in cell.ions]):
            raise ValueError(f"its ions have the valences {given['valence'].values.tolist()}")
        c = given["concentration"].transpose("species", "x").values
        at = initial["x"].values
        if at.dtype.kind != "f" or not (np.diff(at) > 0.0).all():
            raise ValueError("its x are not increasing numbers")
        if abs(at[0]) > 1e-9 * cell.length or abs(at[-1] - cell.length) > 1e-9 * cell.length:
            raise ValueError(f"it goes from {at[0]:g} to {at[-1]:g} m")
        if c.dtype.kind != "f" or not np.isfinite(c).all() or not (c > 0.0).all():
            raise ValueError("it has concentrations that are not finite and above 0")
    except Exception as error:  # whatever a Dataset of another making brings
        raise ValueError(
            f"initial: cannot take concentrations from it ({error!r:.120}); give a result for "
            f"{names} in a cell of {cell.length:g} m"
        ) from error
    return np.exp([np.interp(x, at, row) for row in np.log(c)])
