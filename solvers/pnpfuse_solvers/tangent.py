"""How a discrete state answers to its parameters, to first order and to rounding.

A state y solves the discrete equations R(y; p) = 0 on one mesh; by the implicit function theorem
it moves with a parameter p along ``dy = -(dR/dy)^-1 dR/dp``. The equations, and what is read off a
state, are analytic functions of parameters and state, so their derivatives come from a complex
step (Squire and Trapp, SIAM Rev. 40 (1998) 110): f(p + i e) = f(p) + i e f'(p) for a tiny e, in
which nothing cancels. Parameters go side by side along the first axis, K.

Lengths are in units of the unperturbed cell length. Nodes move when the cell is stretched: with the
cell to the right of the last step of fixed charge or permittivity, not at all to its left, for
those steps lie on nodes and keep their places in x.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pnpfuse_solvers import grid, transport
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Discrete, Solution
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome
from pnpfuse_solvers.parameters import STEP, Complex, Values

_NEWTON_LIMIT = 20


@dataclasses.dataclass(frozen=True)
class Equations:
    """The dimensionless equations on one mesh at perturbed parameters (see ``Discrete``)."""

    x: Complex  # (K, N) nodes [m]
    h: Complex  # (K, N-1)
    w: Complex  # (K, N)
    a: Complex  # (K, N-1) permittivity over length of each edge
    fixed: Complex  # (K, N) fixed charge in each box
    epsilon: Complex  # (K, N) relative permittivity at the nodes
    stern: Complex  # (K, 2) Stern thickness over permittivity; 0: potential held
    v: Complex  # (K, 2)
    z: Complex  # (K, S)
    reference: Complex  # (K, S) the ions' given concentrations
    amount: Complex  # (K, S) what each species has: closed cells in all, reservoirs where u = 0
    d: Complex  # (K, S) diffusivities over the largest unperturbed one
    held: Complex  # (K, 2, S) concentrations at the ends of a steady state
    volt: Complex  # (K,) thermal voltage [V]
    unit: Complex  # (K,) what 1/m^3 is in the unit of concentrations
    closed: bool


def equations(cell: Cell, p: Discrete, values: Values) -> Equations:
    """Return the equations of ``p`` as they are at perturbed parameters.

    Stretching the cell changes an integral over an interval by the integrand at its ends times
    their velocities (Leibniz), so that functions of x are only evaluated, not differentiated; the
    slope of the permittivity matters at the nodes alone, where a field is read off it.
    """
    k, x = cell.constants, p.x
    stretch = values.length - cell.length  # imaginary, or 0
    last = _steps(cell, x).max(initial=0.0)
    velocity = np.maximum(x - last, 0.0) / (cell.length - last)
    ends = np.concatenate([x[:1], 0.5 * (x[:-1] + x[1:]), x[-1:]])  # of the boxes
    moving = x + stretch[:, None] * velocity
    h = np.diff(moving) / cell.length
    w = np.zeros(moving.shape, complex)
    w[:, :-1] += 0.5 * h
    w[:, 1:] += 0.5 * h
    if callable(cell.relative_permittivity):
        at_node = cell.permittivity_at(x)
        rate = np.diff(velocity / at_node) / cell.length
        gap = 1.0 / p.a + stretch[:, None] * rate
        at_node = at_node + stretch[:, None] * velocity * _permittivity_slope(cell, x)
    else:
        gap, at_node = h, np.ones(moving.shape)
    if callable(cell.fixed_charge):
        rate = np.diff(np.interp(ends, x, velocity) * cell.fixed_charge_at(ends)) / cell.length
        box = p.w * p.f / p.unit + stretch[:, None] * rate
    else:
        box = w
    volt = k.boltzmann * values.temperature / k.charge
    unit = k.charge * cell.length**2 / (k.permittivity * volt)
    epsilon = values.relative_permittivity[:, None] * at_node
    reference = unit[:, None] * values.concentration
    share = (values.length / cell.length)[:, None] if p.closed else 1.0
    return Equations(
        x=moving,
        h=h,
        w=w,
        a=values.relative_permittivity[:, None] / gap,
        fixed=(unit * values.fixed_charge)[:, None] * box,
        epsilon=epsilon,
        stern=values.stern_thickness / cell.length / epsilon[:, [0, -1]],
        v=values.potential / volt[:, None],
        z=values.valence,
        reference=reference,
        amount=share * reference,
        d=values.diffusivity / max(ion.diffusivity for ion in cell.ions),
        held=unit[:, None, None] * values.held,
        volt=volt,
        unit=unit,
        closed=p.closed,
    )


def response_mesh(cell: Cell, x: Array, c: Array, within: float = np.inf) -> Array:
    """Return nodes [m], as many as ``x`` has, for what a state answers to a small change.

    The answer has Debye layers at the walls also where the state itself is flat: half of the nodes
    stay where the state wants them, half follow those layers.

    Parameters
    ----------
    x : array (N,)
        Nodes of the state [m].
    c : array (S, N)
        Its concentrations [1/m^3].
    within : float
        Something shorter than the Debye lengths at the walls that is to be resolved [m].
    """
    k, ends = cell.constants, [0, -1]
    nodes, strength = x / x[-1], np.array([ion.valence for ion in cell.ions]) ** 2 @ c[:, ends]
    epsilon = k.permittivity * cell.permittivity_at(x[ends])
    square = epsilon * k.boltzmann * cell.temperature / (k.charge**2 * strength)
    layers = 1.0 / np.sqrt(1.0 / square + 1.0 / within**2) / cell.length
    graded = grid.graded(x.size, np.array([0.0, 1.0]), layers)
    both = np.union1d(nodes, graded)
    middle = 0.5 * (both[:-1] + both[1:])
    density = np.zeros(middle.size)
    for mesh in (nodes, graded):
        density += (1.0 / np.diff(mesh))[np.searchsorted(mesh, middle) - 1]
    steps = _steps(cell, x) / cell.length
    return grid.snapped(grid.place(both, density, x.size), steps) * cell.length


def _steps(cell: Cell, x: Array) -> Array:
    """Inner nodes on which the fixed charge or the permittivity jumps."""
    inner = x[1:-1]
    spacing = np.minimum(inner - x[:-2], x[2:] - inner)
    near = np.minimum(0.25 * spacing, np.maximum(1e-6 * spacing, 1e-10 * cell.length))
    jumps = np.zeros(inner.size, bool)
    for profile, at in (
        (cell.fixed_charge, cell.fixed_charge_at),
        (cell.relative_permittivity, cell.permittivity_at),
    ):
        if callable(profile):
            values = at(x)
            across = np.abs(at(inner + near) - at(inner - near))
            jumps |= across > 0.1 * np.abs(values[2:] - values[:-2]) + 1e-6 * np.ptp(values)
    return inner[jumps]


def _permittivity_slope(cell: Cell, x: Array) -> Array:
    """Slope of the permittivity at the nodes, from differences that stay inside the cell."""
    at = cell.permittivity_at
    inner, near = x[1:-1], 1e-3 * np.minimum(x[1:-1] - x[:-2], x[2:] - x[1:-1])
    ends, into = x[[0, -1]], 1e-5 * cell.length * np.array([1.0, -1.0])
    slope = np.empty(x.size)
    slope[1:-1] = (at(inner + near) - at(inner - near)) / (2.0 * near)
    slope[[0, -1]] = (4.0 * at(ends + into) - 3.0 * at(ends) - at(ends + 2.0 * into)) / (2.0 * into)
    return slope


def exp(x: Complex) -> Complex:
    """exp(x) where rows along the first axis differ by a complex step only."""
    return np.exp(x.real[:1]) * (1.0 + 1j * x.imag)


def log(x: Complex) -> Complex:
    """ln(x) where rows along the first axis differ by a complex step only."""
    return np.log(x.real[:1]) + 1j * (x.imag / x.real[:1])


def log_boltzmann(e: Equations, u: Array | Complex) -> Complex:
    """Logarithm of the equilibrium concentrations (K, S, N) at the potential ``u``."""
    exponent = -e.z[:, :, None] * u[:, None, :]
    level = log(e.amount)
    if e.closed:
        # ln of the mean of exp(exponent), value and complex step by themselves.
        real, w = exponent.real[0], e.w.real[0]
        top = real.max(axis=1)
        share = np.exp(real - top[:, None])
        mass = share @ w
        moved = np.einsum("ksn,sn->ks", exponent.imag, share * w) + e.w.imag @ share.T
        level = level - top - np.log(mass) - 1j * (moved / mass)
    exponent += level[:, :, None]
    return exponent


def imbalance(e: Equations, u: Array | Complex, c: Array | Complex) -> Complex:
    """Gauss's law in the box of each node (K, N); at the ends it lacks the electrodes' charge."""
    flow = e.a * np.diff(u)
    out = e.w * (e.z[:, :, None] * c).sum(axis=1) + e.fixed
    out[:, :-1] += flow
    out[:, 1:] -= flow
    return out


def fluxes(e: Equations, u: Array | Complex, c: Array | Complex) -> Complex:
    """Flux of each species through each edge (K, S, N-1), as in ``transport``."""
    drop = e.z[:, :, None] * np.diff(u)[:, None, :]
    b = _bernoulli(drop)
    return e.d[:, :, None] / e.h[:, None, :] * (b * c[:, :, :-1] - (b + drop) * c[:, :, 1:])


def _bernoulli(x: Complex) -> Complex:
    """B(x) = x/(exp(x) - 1) with B' = B (1 - x - B)/x; series where those cancel."""
    at = x.real[:1]
    near = np.abs(at) < 1e-2
    away = np.where(near, 1.0, at)
    small = np.exp(-np.abs(away))
    b = np.abs(away) / -np.expm1(-np.abs(away)) * np.where(away > 0.0, small, 1.0)
    square = at * at
    series = 1.0 - 0.5 * at + square / 12.0 - square * square / 720.0
    tilt = -0.5 + at / 6.0 - at * square / 180.0
    return (
        np.where(near, series, b) + 1j * np.where(near, tilt, b * (1.0 - away - b) / away) * x.imag
    )


def equilibrium_tangent(e: Equations, solution: Solution) -> Complex:
    """The potential (K, N) of an equilibrium at perturbed parameters."""
    p = solution.problem
    u = np.broadcast_to(solution.u, e.x.shape)
    missing = imbalance(e, u, exp(log_boltzmann(e, u)))
    ends = e.v + e.stern * missing[:, [0, -1]]  # the electrodes' charge is -missing
    right = missing.imag / STEP
    for end in (0, -1):
        if p.r[end] > 0.0:
            right[:, end] += ((e.v[:, end] - u[:, end]) / e.stern[:, end]).imag / STEP
    change = _hessian_solve(p, solution.c, right, ends.imag / STEP)
    return u + 1j * STEP * change


def _hessian_solve(p: Discrete, c: Array, right: Array, ends: Array) -> Array:
    """Solve H du = ``right`` (K, N), with du given (K, 2) at the ends whose potential is held.

    H is a tridiagonal matrix less one rank-one term for each species of a closed cell: the matrix
    of Woodbury's formula is summed from positive terms as in ``kernels.newton_direction``.
    """
    from scipy.linalg import solveh_banded  # here, for it would slow down every start

    n, count = p.x.size, right.shape[0]
    q = p.w * c
    coupling = np.zeros(n)
    diagonal = p.z**2 @ q
    diagonal[:-1] += p.a
    diagonal[1:] += p.a
    off = -p.a.copy()
    right, free = right.copy(), np.ones(n, bool)
    for end, edge, neighbour in ((0, 0, 1), (n - 1, n - 2, n - 2)):
        side = 0 if end == 0 else 1
        if p.r[side] > 0.0:
            diagonal[end] += p.r[side]
            coupling[end] += p.r[side]
            continue
        free[end] = False
        coupling[neighbour] += p.a[edge]
        right[:, neighbour] += p.a[edge] * ends[:, side]
        right[:, end] = ends[:, side]
        diagonal[end], off[edge] = 1.0, 0.0
    bands = np.array([diagonal, np.append(off, 0.0)])
    columns = np.vstack([right, coupling, q * free]) if p.closed else right
    found = solveh_banded(bands, columns.T, lower=True).T
    change = found[:count]
    if p.closed:
        by_wall, by_ion = found[count], found[count + 1 :]
        overlap = q @ by_ion.T
        matrix = -np.outer(p.z, p.z) * overlap
        others = overlap * p.z**2
        np.fill_diagonal(others, 0.0)
        here = q @ by_wall + q @ ~free + others.sum(axis=1)
        matrix[np.diag_indices_from(matrix)] = here
        level = np.linalg.solve(matrix, p.z[:, None] * (q @ change.T))  # (S, K)
        change = change + (level * p.z[:, None]).T @ by_ion
    return change


def steady_state(cell: Cell, p: Discrete, u: Array, c: Array, tol: float) -> Solution:
    """Newton's method without damping from a neighbouring state ``u`` (N,), ``c`` (S, N)."""
    from scipy.linalg import solve_banded

    size = np.inf
    for iteration in range(1, _NEWTON_LIMIT + 1):
        bands, right = _jacobian(cell, p, u, c)
        step = solve_banded(*bands, right.ravel()).reshape(right.shape)
        u, c = u + step[:, 0], c + step[:, 1:].T
        floor = 1e-9 * c.max(axis=1, keepdims=True)
        size = max(np.abs(step[:, 0]).max(), (np.abs(step[:, 1:].T) / np.maximum(c, floor)).max())
        if not size < 1.0 or c.min() <= 0.0:
            break
        if size <= tol:
            return Solution(p, u, c, iteration, float(size), Outcome.CONVERGED)
    return Solution(p, u, c, iteration, float(size), Outcome.EXHAUSTED)


def steady_tangent(cell: Cell, e: Equations, solution: Solution) -> tuple[Complex, Complex]:
    """Potential (K, N) and concentrations (K, S, N) of a steady state at perturbed parameters."""
    from scipy.linalg import solve_banded

    count, n = e.x.shape
    u = np.broadcast_to(solution.u, (count, n))
    c = np.broadcast_to(solution.c, (count, *solution.c.shape))
    flow = fluxes(e, u, c)
    missing = np.zeros((count, n, 1 + e.z.shape[1]))
    missing[:, :, 0] = imbalance(e, u, c).imag
    missing[:, 1:-1, 1:] = -np.diff(flow.imag).swapaxes(1, 2)
    missing[:, [0, -1], 0] = e.v.imag
    missing[:, [0, -1], 1:] = e.held.imag
    bands, _ = _jacobian(cell, solution.problem, solution.u, solution.c)
    right = missing.reshape(count, -1).T / STEP
    change = solve_banded(*bands, right).T.reshape(missing.shape)
    return u + 1j * STEP * change[:, :, 0], c + 1j * STEP * change[:, :, 1:].swapaxes(1, 2)


def _jacobian(
    cell: Cell, p: Discrete, u: Array, c: Array
) -> tuple[tuple[tuple[int, int], Array], Array]:
    """The Jacobian of a steady state in SciPy's banded form, and minus its residuals (N, S+1)."""
    n, k = u.size, p.z.size + 1
    lower, diagonal, upper = (np.empty((n, k, k)) for _ in range(3))
    right = np.empty((n, k))
    d = np.array([ion.diffusivity for ion in cell.ions])
    u, c = np.ascontiguousarray(u), np.ascontiguousarray(c)
    transport.assemble(
        u, c, c, 0.0, 1.0, p.a, p.h, p.w, p.f, p.r, p.v, p.z, d / d.max(),
        lower, diagonal, upper, right,
    )  # fmt: skip
    width = 2 * k - 1
    bands = np.zeros((2 * width + 1, n * k))
    for offset, block in ((-1, lower), (0, diagonal), (1, upper)):
        first, last = max(0, -offset), min(n, n - offset)  # rows whose neighbour exists
        for i in range(k):
            for j in range(k):
                columns = slice((first + offset) * k + j, (last + offset - 1) * k + j + 1, k)
                bands[width + i - j - offset * k, columns] = block[first:last, i, j]
    return ((width, width), bands), right
