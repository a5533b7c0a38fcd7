"""Hyperparameters read off solved cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import xarray as xr

from pnpfuse.mapping.answer import Hyperparameters
from pnpfuse.mapping.cells import cell_for, checked_dims
from pnpfuse.mapping.regime import REGIMES, regime_codes
from pnpfuse_solvers import solve_equilibrium

# What each modality has a value of its own of.
_EACH = ("b", "separation", "regime", "width", "limit", "felt")


def hyperparameters_from(solution: xr.Dataset) -> Hyperparameters:
    """Read (n, b) and what to think of them off the solution of a cell.

    Parameters
    ----------
    solution : xarray.Dataset
        From `solve_equilibrium`, of a cell like those of `cell_for`. In any other cell b is still
        the interface measured from x = 0, whichever species is there.

    Raises
    ------
    ValueError
        If ``solution`` is not such a Dataset or did not converge.
    """
    needed = {"interface", "interface_width", "length", "length_ratio", "separation",
              "least_density", "reduced_potential", "valence"}  # fmt: skip
    if not isinstance(solution, xr.Dataset) or not needed <= set(solution.variables):
        raise ValueError(
            f"solution: got {type(solution).__name__} without the variables of a solved cell; "
            "give what solve_equilibrium returns"
        )
    outcome = solution.attrs.get("outcome")
    if outcome != "converged":
        raise ValueError(f"solution: got one with the outcome {outcome!r}; give a converged one")
    n, b = float(solution["length_ratio"]), float(solution["interface"] / solution["length"])
    drop = float(solution["reduced_potential"][-1] - solution["reduced_potential"][0])
    limit, least_charge = _strong_field(solution, drop)
    return Hyperparameters(
        n=n,
        b=b,
        separation=float(solution["separation"].min()),  # NaN only of an uncharged species
        regime=REGIMES[regime_codes(n, solution["least_density"], b).item()],
        width=float(solution["interface_width"] / solution["length"]),
        voltage=abs(drop) / 2,
        limit=limit,
        felt=least_charge * abs(drop) / 2,
    )


def _strong_field(solution: xr.Dataset, drop: float) -> tuple[float, float]:
    """b in the strong field and the smaller |z|; NaN where there is no such limit."""
    cations = solution["valence"].values[solution["valence"].values > 0.0]
    anions = -solution["valence"].values[solution["valence"].values < 0.0]
    if solution.attrs.get("contact") != "closed" or not cations.size == anions.size == 1:
        return math.nan, math.nan
    first, last = (cations[0], anions[0]) if drop > 0.0 else (anions[0], cations[0])
    # Both exponentials end where first x = last (1 - x), whatever their amounts.
    return (float(last / (first + last)) if drop else math.nan), float(min(first, last))


def hyperparameters(
    dims: Mapping[str, int], *, n: float = 4, voltage: float = 20.0
) -> Hyperparameters:
    """Return (n, b) for every modality, from one simulated cell each.

    Parameters
    ----------
    dims, n, voltage
        As in `cell_for`.

    Returns
    -------
    Hyperparameters
        With dicts over the modalities; ``PMR(dims, h.n, h.b)`` takes them as they are,
        unless ``h.void`` names a modality without an interface.
    """
    found: dict[str, Hyperparameters] = {
        m: hyperparameters_from(solve_equilibrium(cell_for(dims, m, n=n, voltage=voltage)))
        for m in checked_dims(dims)
    }
    each: dict[str, Any] = {name: {m: getattr(h, name) for m, h in found.items()} for name in _EACH}
    return Hyperparameters(n=float(n), voltage=float(voltage), **each)
