"""Small-signal impedance of a closed cell between blocking electrodes, about its equilibrium."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from pnpfuse_solvers import grid
from pnpfuse_solvers.arguments import check_accuracy
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.dataset import build
from pnpfuse_solvers.discrete import Solution, discretise
from pnpfuse_solvers.equilibrium import solve_equilibrium
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.tangent import response_mesh

Complex = NDArray[np.complex128]
CERTIFICATES = ("residual", "mass_error", "layer_resolution", "minimum_concentration")
# Ions fewer than this share of their mean count as none: they move no measurable charge.
FEWEST = 1e-200
_LONG_NAMES = {
    "impedance_real": ("ohm m2", "real part of the area-specific impedance"),
    "impedance_imag": ("ohm m2", "imaginary part of the area-specific impedance"),
    "admittance_real": ("S m-2", "real part of the admittance"),
    "admittance_imag": ("S m-2", "imaginary part of the admittance"),
    "phase": ("degree", "phase of the impedance"),
    "error_estimate": ("1", "last change by extrapolation, relative; NaN at order 2"),
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
    (Phys. Rev. 92 (1953) 4), in the notation of Barbero and Alexe-Ionescu (Liq. Cryst. 32 (2005) 943).

    Examples
    --------
    >>> salt = (Ion("K+", 1, 6e23), Ion("Cl-", -1, 6e23))
    >>> found = impedance(Cell(1e-6, salt, relative_permittivity=78), [1e2, 1e4, 1e6])
    >>> bool((found["impedance_real"] > 0).all())
    True
    """
    check_accuracy(tol, order)
    hertz = _frequencies(frequencies)
    if isinstance(cell, Cell) and cell.contact != "closed":
        raise ValueError(f"cell: got contact {cell.contact!r}; electrodes that block need 'closed'")
    bias = solve_equilibrium(cell, nodes=nodes, tol=tol, throw=throw, order=2)
    outcome = Outcome(bias.attrs["outcome"])
    k, fastest = cell.constants, max(ion.diffusivity for ion in cell.ions)
    d = np.array([ion.diffusivity for ion in cell.ions]) / fastest
    # Frequency 0 first: what remains is the capacitance at rest.
    omega = 2.0 * np.pi * np.concatenate([[0.0], hertz]) * cell.length**2 / fastest
    levels: list[Complex] = []
    at, u = bias["x"].values, bias["reduced_potential"].values
    # The layer that the slowest ions cross within a period.
    within = np.sqrt(d.min() / omega.max()) * cell.length
    x = response_mesh(cell, at, bias["concentration"].values, within)
    while outcome.ok and len(levels) < order // 2:
        state = discretise(cell, x).solve(np.interp(x, at, u), tol)
        outcome = state.outcome
        levels.append(_elastance(state, d, omega))
        at, u, x = x, state.u, grid.halved(x)
    if throw and not outcome.ok:
        raise SolverError(outcome, f"(nodes {nodes}, order {order})")
    if not outcome.ok:
        levels = [np.full(omega.size, complex(np.nan, np.nan))]
    best, change = _extrapolated(levels)
    per_area = cell.length / k.permittivity  # [m^2/F]: potential per charge of the electrode
    z = best[1:] * per_area / (2j * np.pi * hertz)
    plates = cell.length / cell.mean_permittivity
    for end, thickness in ((0.0, cell.stern_thickness[0]), (cell.length, cell.stern_thickness[1])):
        plates += thickness / float(cell.permittivity_at(np.array([end]))[0])
    found = build(
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
    values = {
        "impedance_real": z.real,
        "impedance_imag": z.imag,
        "admittance_real": (1.0 / z).real,
        "admittance_imag": (1.0 / z).imag,
        "phase": np.degrees(np.angle(z)),
        "error_estimate": change[1:],
    }
    for name, value in values.items():
        units, long_name = _LONG_NAMES[name]
        found[name] = ("frequency", value, {"units": units, "long_name": long_name})
    for name, value, long_name in (
        ("capacitance", 1.0 / (best[0].real * per_area), "differential capacitance at rest"),
        ("geometric_capacitance", k.permittivity / plates, "capacitance without ions"),
    ):
        found[name] = ((), value, {"units": "F m-2", "long_name": long_name})
    return found.assign_coords(
        frequency=("frequency", hertz, {"units": "Hz", "long_name": "frequency"})
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


def _elastance(solution: Solution, d: Array, omega: Array) -> Complex:
    """Potential difference of the electrodes per charge of the left one (F,), dimensionless."""
    p = solution.problem
    drop = p.z[:, None] * np.diff(solution.u)
    c = np.maximum(solution.c, FEWEST * p.amount[:, None])
    # The mean concentration of Scharfetter and Gummel's flux, c_i B(drop) = c_{i+1} B(-drop).
    between = np.divide(drop, np.expm1(drop), out=np.ones_like(drop), where=drop != 0.0) * c[:, :-1]
    friction = np.diff(p.nodes) / (d[:, None] * between)
    stern = sum(1.0 / r for r in p.r if r > 0.0)
    return ladder(p.z, p.a, np.ascontiguousarray((p.w * c).T), friction.T.copy(), omega) + stern


@njit(cache=True, error_model="numpy")
def solve(matrix, right):
    """Solve in place a small complex system (S, S) x (S, R), rows exchanged for their pivots."""
    n, m = right.shape
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(n):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            for j in range(m):
                right[k, j], right[pivot, j] = right[pivot, j], right[k, j]
        inverse = 1.0 / matrix[k, k]
        for i in range(k + 1, n):
            factor = matrix[i, k] * inverse
            for j in range(k + 1, n):
                matrix[i, j] -= factor * matrix[k, j]
            for j in range(m):
                right[i, j] -= factor * right[k, j]
    for k in range(n - 1, -1, -1):
        inverse = 1.0 / matrix[k, k]
        for j in range(m):
            value = right[k, j]
            for i in range(k + 1, n):
                value -= matrix[k, i] * right[i, j]
            right[k, j] = value * inverse


@njit(cache=True, error_model="numpy")
def ladder(z, a, stored, friction, omega):
    """Sum over the edges of (1 + sum_s z_s n_s)/a at the frequencies ``omega`` (F,), complex.

    ``a`` (N-1,) permittivities over lengths, ``stored`` (N, S) ions in a node's box, ``friction``
    (N-1, S) length over diffusivity and concentration of an edge. The unknowns n (S) of an edge are
    the ions that have passed it, for a unit of charge on the left electrode:

        (n_e - n_{e-1})/stored_e - (n_{e+1} - n_e)/stored_{e+1} + E n_e = -z/a,
        E = z z^T/a + i omega friction,

    a ladder of capacitors between edges and of branches E to the ground. Elimination from the left
    carries the ladder's compliance X, ``X <- stored + (1 + X E)^-1 X``: sums of what has a positive
    real part and nothing that cancels, finite where ions are missing and at frequency 0.
    """
    edges, species = friction.shape
    out = np.empty(omega.size, np.complex128)
    x = np.empty((species, species), np.complex128)
    matrix = np.empty((species, species), np.complex128)
    right = np.empty((species, species + 1), np.complex128)
    passed = np.empty((edges, species), np.complex128)  # first what the left side alone gives
    back = np.empty((edges, species, species), np.complex128)
    total = np.empty(species, np.complex128)
    for f in range(omega.size):
        x[:] = 0.0
        total[:] = 0.0
        for s in range(species):
            x[s, s] = stored[0, s]
        for e in range(edges):
            charge = 1.0 / a[e]
            for i in range(species):
                along = 0.0j
                for j in range(species):
                    along += x[i, j] * z[j]
                along *= charge
                for j in range(species):
                    matrix[i, j] = along * z[j] + x[i, j] * (1j * omega[f] * friction[e, j])
                    right[i, j] = x[i, j]
                matrix[i, i] += 1.0
                right[i, species] = total[i] - along
            solve(matrix, right)
            # right: (1 + X E)^-1 (X, t - X z/a). Towards the right the next box is added.
            for i in range(species):
                total[i] = right[i, species]
                passed[e, i] = total[i]
                for j in range(species):
                    x[i, j] = right[i, j]
                    matrix[j, i] = x[i, j]
                    back[e, i, j] = x[i, j]
                x[i, i] += stored[e + 1, i]
                matrix[i, i] += stored[e + 1, i]
            solve(matrix, back[e])
        total[:] = 0.0
        voltage = 0.0j
        for e in range(edges - 1, -1, -1):
            field = 1.0 + 0.0j
            for i in range(species):
                right[i, 0] = total[i] - passed[e, i]
            for i in range(species):
                change = 0.0j
                for j in range(species):
                    change += back[e, j, i] * right[j, 0]
                total[i] = passed[e, i] + change
                field += z[i] * total[i]
            voltage += field / a[e]
        out[f] = voltage
    return out
