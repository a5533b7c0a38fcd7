"""Small-signal impedance of a closed cell between blocking electrodes, about its equilibrium."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid
from pnpfuse_solvers.arguments import check_accuracy
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import build
from pnpfuse_solvers.discrete import Solution, discretise
from pnpfuse_solvers.equilibrium import solve_equilibrium
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.ladder import ladder
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.parameters import Complex
from pnpfuse_solvers.tangent import response_mesh

CERTIFICATES = ("residual", "mass_error", "layer_resolution", "minimum_concentration")
# Ions fewer than this share of their mean count as none: they move no measurable charge.
FEWEST = 1e-100
_OVER = ("frequency",)
_VARIABLES = {
    "frequency": (_OVER, "Hz", "frequency"),
    "impedance_real": (_OVER, "ohm m2", "real part of the area-specific impedance"),
    "impedance_imag": (_OVER, "ohm m2", "imaginary part of the area-specific impedance"),
    "admittance_real": (_OVER, "S m-2", "real part of the admittance"),
    "admittance_imag": (_OVER, "S m-2", "imaginary part of the admittance"),
    "phase": (_OVER, "degree", "phase of the impedance"),
    "error_estimate": (_OVER, "1", "last change by extrapolation, relative; NaN at order 2"),
    "capacitance": ((), "F m-2", "differential capacitance at rest"),
    "geometric_capacitance": ((), "F m-2", "capacitance without ions"),
}


def impedance(
    cell: Cell,
    frequencies: Sequence[float],
    *,
    nodes: int = 401,
    tol: float = 1e-10,
    order: int = 6,
    throw: bool = True,
) -> xr.Dataset:
    """Return the impedance of a closed cell for small voltages around its own potentials.

    The Poisson-Nernst-Planck equations are linearised about the equilibrium, with any ions, bias,
    Stern layers, fixed charge and permittivity. In the frequency domain, with ``n_s(x)`` the ions
    of a species that have passed x per charge q of the left electrode,

        -d/dx(1/c_s dn_s/dx) + z_s/eps sum_t z_t n_t + i w/(D_s c_s) n_s = -z_s/eps,

    in units of kB T and e, with ``n_s = 0`` at both electrodes, and

        Z = (1/(i w)) (int (1 + sum_s z_s n_s)/eps dx + Stern layers),

    the displacement current included. Amounts are kept at every frequency because fluxes, not
    concentrations, are the unknowns, and nothing is singular as the frequency falls to 0.

    Parameters
    ----------
    cell : Cell
        With contact "closed" and point ions; its potentials are the bias.
    frequencies : sequence of float
        Frequencies [Hz], above 0.
    nodes, tol, throw
        As in `solve_equilibrium`.
    order : {2, 4, 6}
        Order of accuracy in the mesh.

    Returns
    -------
    xarray.Dataset
        Over (frequency): `impedance_real`, `impedance_imag` [ohm m^2], `admittance_real`,
        `admittance_imag` [S/m^2], `phase` [degree], `error_estimate` (relative); scalars
        `capacitance` [F/m^2], what the cell takes up at low frequency, `geometric_capacitance`
        [F/m^2], what is left at high frequency, and the certificates of the equilibrium.

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.

    Notes
    -----
    For one salt of equal diffusivities at zero bias the closed form is that of Macdonald
    (Phys. Rev. 92 (1953) 4), in the notation of Barbero and Alexe-Ionescu
    (Liq. Cryst. 32 (2005) 943).

    Examples
    --------
    >>> salt = (Ion("K+", 1, 6e23), Ion("Cl-", -1, 6e23))
    >>> found = impedance(Cell(1e-6, salt, relative_permittivity=78), [1e2, 1e4, 1e6])
    >>> bool((found["impedance_real"] > 0).all())
    True
    """
    check_cell(cell, "impedance")
    check_accuracy(tol, order)
    hertz = _frequencies(frequencies)
    if cell.contact != "closed":
        raise ValueError(f"cell: got contact {cell.contact!r}; electrodes that block need 'closed'")
    bias = solve_equilibrium(cell, nodes=nodes, tol=tol, throw=throw, order=order)
    outcome = Outcome(bias.attrs["outcome"])
    k, fastest = cell.constants, max(ion.diffusivity for ion in cell.ions)
    d = np.array([ion.diffusivity for ion in cell.ions]) / fastest
    # Frequency 0 first: what remains is the capacitance at rest.
    omega = 2.0 * np.pi * np.concatenate([[0.0], hertz]) * cell.length**2 / fastest
    # The layer that the slowest ions cross within a period.
    within = np.sqrt(d.min() / omega.max()) * cell.length
    levels: list[Complex] = []
    if outcome.ok:
        at, u = bias["x"].values, bias["reduced_potential"].values
        x = response_mesh(cell, at, bias["concentration"].values, within)
        while outcome.ok and len(levels) < order // 2:
            state = discretise(cell, x).solve(np.interp(x, at, u), tol)
            outcome = state.outcome
            levels.append(elastance(state, d, omega))
            if not np.isfinite(levels[-1]).all():
                outcome = Outcome.NOT_FINITE
            at, u, x = x, state.u, grid.halved(x)
    if throw and not outcome.ok:
        raise SolverError(outcome, f"(nodes {nodes}, order {order})")
    if not outcome.ok:
        levels = [np.full(omega.size, complex(np.nan, np.nan))]
    best, change = _extrapolated(levels)
    per_area = cell.length / k.permittivity  # [m^2/F]: potential per charge of the electrode
    with np.errstate(invalid="ignore"):  # NaN where the solve failed
        z = best[1:] * per_area / (2j * np.pi * hertz)
        y = 1.0 / z
    walls = cell.permittivity_at(np.array([0.0, cell.length]))
    plates = cell.length / cell.mean_permittivity + float((cell.stern_thickness / walls).sum())
    values = {
        "frequency": hertz,
        "impedance_real": z.real,
        "impedance_imag": z.imag,
        "admittance_real": y.real,
        "admittance_imag": y.imag,
        "phase": np.degrees(np.angle(z)),
        "error_estimate": change[1:],
        "capacitance": 1.0 / (best[0].real * per_area),
        "geometric_capacitance": k.permittivity / plates,
    }
    certificates = build(
        {name: bias[name].values for name in CERTIFICATES},
        {
            "title": "impedance of a closed cell about its equilibrium",
            "outcome": outcome.value,
            "message": outcome.message,
            "nodes": nodes,
            "tol": tol,
            "order": order,
            "parameters": json.dumps(cell.describe()),
        },
    )
    dressed = {
        name: (dims, values[name], {"units": units, "long_name": long_name})
        for name, (dims, units, long_name) in _VARIABLES.items()
    }
    return xr.Dataset({**certificates.data_vars, **dressed}, attrs=certificates.attrs).set_coords(
        "frequency"
    )


def _frequencies(given: Sequence[float]) -> Array:
    try:
        array = np.asarray(given)
        numbers = array.dtype.kind in "iuf"
        array = array.astype(float) if numbers else np.array(np.nan)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if (
        array.ndim != 1
        or array.size == 0
        or not np.isfinite(array).all()
        or not 1e-100 < array.min() <= array.max() < 1e100
    ):
        raise ValueError(f"frequencies: got {given!r:.80}; give frequencies in Hz, above 0")
    return array


def _extrapolated(levels: Sequence[Complex]) -> tuple[Complex, Array]:
    """Richardson's extrapolation over halved meshes, and its last change, relative."""
    table, change = list(levels), np.full(levels[0].size, np.nan)
    for power in range(1, len(levels)):
        before = table[-1]
        factor = 4.0**power
        table = [(factor * b - a) / (factor - 1.0) for a, b in zip(table, table[1:], strict=False)]
        change = np.abs(table[-1] / before - 1.0)
    return table[-1], change


def elastance(solution: Solution, d: Array, omega: Array) -> Complex:
    """Potential difference of the electrodes per charge of the left one (F,), dimensionless."""
    p = solution.problem
    drop = p.z[:, None] * np.diff(solution.u)
    c = np.maximum(solution.c, FEWEST * p.amount[:, None])
    # The mean concentration of Scharfetter and Gummel's flux, c_i B(drop) = c_{i+1} B(-drop).
    between = np.divide(drop, np.expm1(drop), out=np.ones_like(drop), where=drop != 0.0) * c[:, :-1]
    friction = p.h / (d[:, None] * between)
    stern = sum(1.0 / r for r in p.r if r > 0.0)
    return ladder(p.z, p.a, np.ascontiguousarray((p.w * c).T), friction.T.copy(), omega) + stern
