"""Whether a solved cell fulfils its equations, computed anew from its profiles alone."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from pnpfuse_solvers import Cell


def poisson_residual(solution: xr.Dataset, cell: Cell, density: ArrayLike) -> float:
    """Largest violation of Gauss's law in the boxes about the nodes, over the largest displacement.

    Parameters
    ----------
    solution : of `solve_equilibrium` at order 2, whose boxes fulfil it to rounding
    cell : that was solved, of one permittivity
    density : (x,) charge [C/m^3]
    """
    h = np.diff(solution["x"].values)
    epsilon = cell.constants.permittivity * cell.mean_permittivity
    displacement = epsilon * np.diff(solution["potential"].values) / h
    charge = 0.5 * (h[1:] + h[:-1]) * np.asarray(density)[1:-1]
    return float(np.abs(np.diff(displacement) + charge).max() / np.abs(displacement).max())


def ion_charge(solution: xr.Dataset, cell: Cell) -> np.ndarray:
    """Charge density of the ions from their concentrations, (x,) [C/m^3]."""
    return cell.constants.charge * (solution["valence"] * solution["concentration"]).sum(
        "species"
    ).values  # fmt: skip


def boltzmann_residual(solution: xr.Dataset) -> float:
    """Largest difference of an ion's chemical potential along the cell [kB T]: 0 without flux."""
    c = solution["concentration"].transpose("species", "x").values
    level = np.log(c) + np.outer(solution["valence"], solution["reduced_potential"])
    return float(np.ptp(level, axis=1).max())
