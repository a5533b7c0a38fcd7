"""Both sides of PMR Eq. (3): Gauss's law between the left electrode and the interface."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array

_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(4)
_PART, _WEIGHT = 0.5 * (1.0 + _GAUSS_X), 0.5 * _GAUSS_W


def gauss_law(solution: xr.Dataset, cell: Cell, at: float | None = None) -> xr.Dataset:
    """Return both sides of Gauss's law on [0, b], and what PMR Eq. (3) makes of it.

    Exact is ``[eps dphi/dx]_0^b = -int_0^b (e sum_i z_i c_i + fixed charge) dx``. PMR Eq. (3)
    keeps only the anions on the right, which holds as far as cations and fixed charge are absent
    between the left electrode and b. The left side is taken from the potential alone and the right
    one from the concentrations alone, both by cubics between the nodes, so that their gap measures
    the solution and not this function. (In a cell far shorter than a Debye length the left side is
    a small difference of large slopes, and the gap is rounding over (length/lambda_D)^2.)

    Parameters
    ----------
    solution : xarray.Dataset
        A state over x (equilibrium, steady state, or one time of a transient).
    cell : Cell
        The cell that it is the solution of.
    at : float or None
        Position b [m], 0 < b <= length; by default the solution's `interface`.

    Returns
    -------
    xarray.Dataset
        Scalars `position` [m]; `displacement` (left side), `charge` (right side, exact) and
        `anions` (right side of PMR Eq. 3) [C/m^2]; `gap` and `anions_gap`: the distance of either
        right side from the left one, relative to the charge between 0 and b without regard to sign.

    Raises
    ------
    ValueError
        If the solution is none over x, or has no interface and no position is given.
    """
    missing = [n for n in ("potential", "electric_field", "concentration") if n not in solution]
    if missing:
        raise ValueError(f"solution: it holds no {missing[0]}; give a solved cell over x")
    if "time" in solution["potential"].dims:
        raise ValueError("solution: it holds several times; take one, as in isel(time=-1)")
    b = _position(solution, at)
    x = solution["x"].values
    left = _displacement(solution, cell, b) - _displacement(solution, cell, 0.0)
    ions = -cell.constants.charge * solution["valence"].values * _amounts(solution, cell, b)
    fixed = -cell.constants.charge * _fixed(solution, cell, x, b)
    right, anions = ions.sum() + fixed, ions[solution["valence"].values < 0].sum()
    scale = max(np.abs(ions).sum() + abs(fixed), np.finfo(float).tiny)

    def said(value: float, units: str, long_name: str) -> tuple[tuple[()], float, dict[str, str]]:
        return (), float(value), {"units": units, "long_name": long_name}

    return xr.Dataset(
        {
            "position": said(b, "m", "right end b of the stretch from the left electrode"),
            "displacement": said(left, "C m-2", "permittivity times slope of potential, b less 0"),
            "charge": said(right, "C m-2", "charge between 0 and b, negative (exact)"),
            "anions": said(anions, "C m-2", "charge of the anions alone, negative (PMR Eq. 3)"),
            "gap": said(abs(left - right) / scale, "1", "violation of Gauss's law"),
            "anions_gap": said(abs(left - anions) / scale, "1", "violation of PMR Eq. 3"),
        },
        attrs={"title": "Gauss's law from the left electrode to b, PMR Eq. (3)"},
    )


def _position(solution: xr.Dataset, at: float | None) -> float:
    length = float(solution["x"][-1])
    if at is None:
        at = float(solution["interface"]) if "interface" in solution else np.nan
        if np.isnan(at):
            why = solution["interface_reason"].item() if "interface_reason" in solution else "none"
            raise ValueError(f"at: the solution has no interface ({why}); give a position in m")
    if not 0.0 < at <= length * (1.0 + 1e-12):
        raise ValueError(f"at: got {at:g}; give a position above 0 and up to {length:g} m")
    return min(float(at), length)


def _displacement(solution: xr.Dataset, cell: Cell, b: float) -> float:
    """eps dphi/dx at b [C/m^2], from Hermite's cubic of the potential."""
    x, phi = solution["x"].values, solution["potential"].values
    flow = -cell.permittivity_at(x) * solution["electric_field"].values
    i = int(np.clip(np.searchsorted(x, b, side="right") - 1, 0, x.size - 2))
    if x[i] == b or x[i + 1] == b:
        return cell.constants.permittivity * float(flow[i if x[i] == b else i + 1])
    # The displacement is continuous where the permittivity jumps at a node, the field is not:
    # slopes at the nodes are those just inside the interval.
    h = x[i + 1] - x[i]
    inside = cell.permittivity_at(x[i] + h * np.array([1e-9, (b - x[i]) / h, 1 - 1e-9]))
    slopes = flow[i : i + 2] / inside[[0, 2]]
    slope = CubicHermiteSpline(x[i : i + 2], phi[i : i + 2], slopes)(b, 1)
    return cell.constants.permittivity * float(inside[1] * slope)


def _pieces(x: Array, b: float) -> tuple[Array, Array]:
    """Points (M, 4) and weights (M, 4) of Gauss's quadrature on the intervals up to b."""
    ends = np.append(x[x < b], b)
    h = np.diff(ends)[:, None]
    return ends[:-1, None] + h * _PART, h * _WEIGHT


def _amounts(solution: xr.Dataset, cell: Cell, b: float) -> Array:
    """Ions of each species between 0 and b (S,) [1/m^2]; ln c is a cubic between the nodes.

    Concentrations of a closed cell hold their amounts by the trapezoidal rule; what that makes
    them too large is taken off again.
    """
    x = solution["x"].values
    points, weights = _pieces(x, b)
    slopes = _slopes(solution, cell)
    found = []
    for s, row in enumerate(solution["concentration"].transpose("species", "x").values):
        log_c = np.log(np.maximum(row, np.finfo(float).tiny))
        curve = PchipInterpolator(x, log_c)
        if slopes is not None:
            # Where a mesh is too coarse a slope says nothing about the interval: cut it.
            most = (1.0 + 3.0 * np.abs(np.diff(log_c))) / np.diff(x)
            most = np.minimum(np.append(most, most[-1]), np.insert(most, 0, most[0]))
            curve = CubicHermiteSpline(x, log_c, np.clip(slopes[s], -most, most))
        found.append(float((np.exp(curve(points)) * weights).sum()))
    excess = solution.get("concentration_excess", xr.DataArray(0.0)).fillna(0.0)
    return np.array(found) / (1.0 + excess.values)


def _slopes(solution: xr.Dataset, cell: Cell) -> Array | None:
    """Slopes of ln c (S, N) [1/m] where the state fixes them; None where only data can say."""
    point_ions = all(ion.diameter == 0.0 for ion in cell.ions)
    if "time" in solution.coords or not point_ions or getattr(cell, "excess", None) is not None:
        return None
    z = solution["valence"].values
    slopes = np.outer(z, solution["electric_field"].values) / cell.thermal_voltage
    if "flux" in solution:
        c = np.maximum(solution["concentration"].transpose("species", "x").values, 1e-300)
        d = np.array([ion.diffusivity for ion in cell.ions])
        slopes -= (solution["flux"].values / d)[:, None] / c
    return slopes


def _fixed(solution: xr.Dataset, cell: Cell, x: Array, b: float) -> float:
    """Fixed charge between 0 and b [elementary charges/m^2]."""
    points, weights = _pieces(x, b)
    return float((cell.fixed_charge_at(points) * weights).sum())
