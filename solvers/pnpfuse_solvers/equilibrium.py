"""Equilibrium of a cell: a convex Newton method on a mesh that follows the solution."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid, kernels
from pnpfuse_solvers.cell import Cell, finite_number
from pnpfuse_solvers.dataset import equilibrium_dataset
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome, SolverError

ITERATION_LIMIT = 200
# Solve, place the nodes after the solution, solve again: the second pass moves nodes only a little.
MESH_PASSES = 3
# Point ions against a reservoir grow like exp(|z u|), which leaves float64 near 700.
LARGEST_EXPONENT = 600.0
# Gauss's law must hold this well, relative to the largest displacement; 1e-12 is usual.
LARGEST_RESIDUAL = 1e-6
# Share of the nodes that is spread evenly, whatever the solution wants.
EVEN_SHARE = 0.05
_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(4)
_STATUS = {
    kernels.CONVERGED: Outcome.CONVERGED,
    kernels.STALLED: Outcome.STALLED,
    kernels.EXHAUSTED: Outcome.EXHAUSTED,
    kernels.NOT_FINITE: Outcome.NOT_FINITE,
}


@dataclasses.dataclass(frozen=True)
class Discrete:
    """The dimensionless equations on one mesh (see ``kernels``): the arguments of the kernels."""

    x: Array  # nodes [m]
    a: Array  # relative permittivity over edge length, edges in cell lengths
    w: Array  # trapezoidal weights, sum 1
    f: Array  # fixed charge, in the unit of ``amount``
    r: Array  # Stern layer conductances (left, right); 0: potential held
    v: Array  # electrode potentials u (left, right)
    z: Array  # valences
    amount: Array  # e^2 l^2 c / (eps0 kB T): the squared inverse Debye length of each species
    closed: bool

    @property
    def nodes(self) -> Array:
        """Nodes on [0, 1]."""
        return self.x / self.x[-1]

    def solve(self, start: Array, tol: float) -> Solution:
        """Run Newton's method from ``start`` (N,)."""
        u = start.copy()
        for end in (0, -1):
            if self.r[end] == 0.0:
                u[end] = self.v[end]
        c, iterations, step, status = kernels.equilibrium(
            u, self.a, self.w, self.f, self.r, self.v, self.z, self.amount, self.closed,
            tol, ITERATION_LIMIT,
        )  # fmt: skip
        return Solution(self, u, c, int(iterations), float(step), _STATUS[int(status)])


@dataclasses.dataclass(frozen=True)
class Solution:
    """Potential and concentrations on a mesh, dimensionless."""

    problem: Discrete
    u: Array  # (N,) kB T/e
    c: Array  # (S, N) in the unit of ``amount``
    iterations: int
    step: float
    outcome: Outcome

    @property
    def charge(self) -> Array:
        """Charge density (N,), ions and fixed charge, in the unit of ``amount``."""
        return self.problem.z @ self.c + self.problem.f

    def residual(self) -> float:
        """Largest violation of Gauss's law in a node's box, over the largest displacement."""
        p = self.problem
        imbalance = np.empty_like(self.u)
        kernels.imbalance(self.u, p.a, p.w, p.f, p.r, p.v, p.z, self.c, imbalance)
        displacement = float(np.abs(p.a * np.diff(self.u)).max())
        # Without any field the ions' charge is the scale.
        return float(np.abs(imbalance).max() / (displacement or np.abs(p.z) @ p.amount))

    def layer_resolution(self) -> float:
        """How coarse the mesh is where ions are: above 1 a layer is not resolved.

        The larger of the first spacing at a wall over the Debye length there, and the largest step
        of ln c across an interval that holds more than a thousandth of a species.
        """
        p = self.problem
        h = np.diff(p.nodes)
        jumps = np.abs(np.diff(self.u))
        screening = np.sqrt((p.z**2 @ self.c)[[0, -1]] / (p.a * h)[[0, -1]])
        layered = jumps[[0, -1]] > 1e-6
        worst = float(np.max(h[[0, -1]] * screening * layered))
        for s, z in enumerate(p.z):
            piece = 0.5 * (self.c[s, :-1] + self.c[s, 1:]) * h
            steps = abs(z) * jumps[piece > 1e-3 * piece.sum()]
            worst = max(worst, float(np.max(steps, initial=0.0)))
        return worst


def solve_equilibrium(
    cell: Cell, *, nodes: int = 401, tol: float = 1e-10, throw: bool = True
) -> xr.Dataset:
    """Return the equilibrium (zero flux) of a cell.

    Minimises the convex functional of the Poisson-Boltzmann problem: with the logarithm of summed
    exponentials for a closed cell, so that every ion's amount is kept to rounding, and with the
    sum of exponentials in contact with a reservoir. Newton's method with a line search finds the
    minimum from any start; no continuation in the voltage is needed. The scheme is of second
    order in the mesh, and the mesh is placed after the solution.

    Parameters
    ----------
    cell : Cell
        The cell; its ions must be points (diameter 0).
    nodes : int
        Number of mesh nodes, at least 11.
    tol : float
        The last Newton step must be smaller than this, in kB T/e.
    throw : bool
        Raise where the result is not trustworthy; False hands it back with its outcome.

    Returns
    -------
    xarray.Dataset
        Over (species, x): `potential` [V], `reduced_potential`, `concentration` [1/m^3],
        `charge_density` [C/m^3], `electric_field` [V/m]; scalars `debye_length`, `interface`,
        `interface_width` [m], `separation` (species), `surface_charge` (electrode) [C/m^2],
        `free_energy` [J/m^2]; certificates `residual`, `iterations`, `mass_error`,
        `layer_resolution`, `minimum_concentration`; ``attrs["outcome"]``.

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.

    Examples
    --------
    >>> solution = solve_equilibrium(Cell.fig8(voltage=5))
    >>> round(float(solution.interface / solution.attrs["length"]), 3)
    0.5
    """
    _check(cell, nodes, tol)
    left, right = _layer_lengths(cell)
    x = grid.two_sided(nodes, left, right) * cell.length
    problem = discretise(cell, x)
    solution = problem.solve(_start(problem), tol)
    iterations = solution.iterations
    for _ in range(MESH_PASSES - 1):
        if solution.outcome is not Outcome.CONVERGED:
            break
        mesh = grid.place(problem.nodes, _node_density(solution), nodes)
        finer = discretise(cell, mesh * cell.length)
        solution = finer.solve(np.interp(finer.nodes, problem.nodes, solution.u), tol)
        problem = finer
        iterations += solution.iterations
    resolution, residual = solution.layer_resolution(), solution.residual()
    outcome = solution.outcome
    if outcome.ok and not resolution <= 1.0:
        outcome = Outcome.UNRESOLVED_LAYER
    elif outcome.ok and not residual <= LARGEST_RESIDUAL:
        outcome = Outcome.STALLED
    solution = dataclasses.replace(solution, outcome=outcome, iterations=iterations)
    if throw and not outcome.ok:
        raise SolverError(
            outcome,
            f"(nodes {nodes}, last step {solution.step:.2g} kB T/e, "
            f"layer_resolution {resolution:.3g}, residual {residual:.2g})",
        )
    return equilibrium_dataset(cell, solution, tol)


def _check(cell: Cell, nodes: int, tol: float) -> None:
    if not isinstance(cell, Cell):
        raise ValueError(f"cell: got {type(cell).__name__}; give a Cell, for example Cell.fig8(5)")
    if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 11:
        raise ValueError(f"nodes: got {nodes!r}; give a whole number of at least 11")
    tol = finite_number("tol", tol)
    if not 1e-14 <= tol <= 1e-2:
        raise ValueError(f"tol: got {tol:g}; give a value from 1e-14 to 1e-2 kB T/e")
    for ion in cell.ions:
        if ion.diameter > 0.0:
            raise ValueError(
                f"diameter of ion {ion.name!r}: got {ion.diameter:g} m; solve_equilibrium treats "
                "ions as points, give 0"
            )
    if cell.contact == "reservoir":
        u = max(abs(p) for p in cell.potential) / cell.thermal_voltage
        exponent = u * max(abs(ion.valence) for ion in cell.ions)
        if exponent > LARGEST_EXPONENT:
            raise ValueError(
                f"potential: got {u:.3g} kB T/e, which against a reservoir raises concentrations "
                f"exp({exponent:.3g}) times; stay below exp({LARGEST_EXPONENT:g})"
            )


def discretise(cell: Cell, x: Array) -> Discrete:
    """Return the cell's equations on the nodes ``x`` [m]."""
    k = cell.constants
    # Spacings from the stored coordinates, so that whoever integrates over x finds the same mass.
    h = np.diff(x) / cell.length
    points = x[:-1, None] + 0.5 * np.diff(x)[:, None] * (1.0 + _GAUSS_X)
    # Harmonic mean of the permittivity: exact for the potential drop across the edge.
    a = 1.0 / (h * (0.5 * (1.0 / cell.permittivity_at(points)) @ _GAUSS_W))
    w = grid.trapezoid_weights(h)
    unit = k.charge**2 * cell.length**2 / (k.permittivity * k.boltzmann * cell.temperature)
    wall = cell.permittivity_at(x[[0, -1]])
    stern = np.array(cell.stern_thickness) / cell.length
    r = np.divide(wall, stern, out=np.zeros(2), where=stern > 0.0)
    return Discrete(
        x=x,
        a=a,
        w=w,
        f=unit * _box_means(cell, x, w),
        r=r,
        v=np.array(cell.potential) / cell.thermal_voltage,
        z=np.array([ion.valence for ion in cell.ions]),
        amount=unit * np.array([ion.concentration for ion in cell.ions]),
        closed=cell.contact == "closed",
    )


def _box_means(cell: Cell, x: Array, w: Array) -> Array:
    """Means of the fixed charge over the nodes' boxes: a jump may fall between two nodes."""
    if not callable(cell.fixed_charge):
        return np.full(x.size, float(cell.fixed_charge))
    edges = np.sort(np.concatenate([x, 0.5 * (x[:-1] + x[1:])]))
    half = np.diff(edges)
    points = edges[:-1, None] + 0.5 * half[:, None] * (1.0 + _GAUSS_X)
    integral = 0.5 * half * (cell.fixed_charge_at(points) @ _GAUSS_W) / cell.length
    boxes = np.zeros(x.size)
    boxes[:-1] += integral[0::2]
    boxes[1:] += integral[1::2]
    return boxes / w


def _layer_lengths(cell: Cell) -> tuple[float, float]:
    """Thinnest layer to expect at each wall, in cell lengths: what the first mesh resolves."""
    problem = discretise(cell, np.linspace(0.0, cell.length, 3))
    z, amount, v = problem.z, problem.amount, problem.v
    epsilon = cell.mean_permittivity
    if problem.closed:
        # The whole voltage at one wall, or all the ions' charge there: whichever is milder.
        drop = abs(v[1] - v[0])
        exponent = np.minimum(np.abs(z) * drop, LARGEST_EXPONENT)
        screened = np.sqrt(epsilon / (z**2 * amount * np.exp(exponent)).sum())
        crowded = epsilon / (
            np.abs(z).max() * (np.abs(z) @ amount + drop + np.abs(problem.f).max())
        )
        return (max(screened, crowded),) * 2
    exponents = -np.outer(v, z).clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    lengths = np.sqrt(epsilon / np.maximum((z**2 * amount * np.exp(exponents)).sum(axis=1), 1e-300))
    return float(lengths[0]), float(lengths[1])


def _start(problem: Discrete) -> Array:
    """A straight line for a closed cell; Gouy-Chapman layers of both walls for a reservoir."""
    x = problem.nodes
    v = problem.v
    line = v[0] + (v[1] - v[0]) * x
    if problem.closed:
        return line
    z = max(float(np.abs(problem.z).max()), 1e-3)
    rate = np.sqrt((problem.z**2) @ problem.amount / (problem.a * np.diff(x)).mean())
    layers = np.zeros_like(x)
    for wall, distance in ((v[0], x), (v[1], 1.0 - x)):
        layers += (
            4.0 / z * np.arctanh(np.tanh(0.25 * z * wall) * np.exp(-rate * distance) * (1 - 1e-15))
        )
    miss = v - layers[[0, -1]]
    return layers + miss[0] + (miss[1] - miss[0]) * x


def _node_density(solution: Solution) -> Array:
    """Wanted nodes per length on each edge: where the scheme's error arises.

    Lumping charge at the nodes is the scheme's only error where the permittivity is constant: a
    quadrature error ``h^3 (G c)'' / 12`` an edge and species, G being the Green's function.

    In a closed cell the fixed amount carries that error from everywhere into the whole potential
    with the same weight, the mean of G over the species: the sum is least for spacings like the
    inverse cube root of ``c'' <G> + 2 c' G'``. Against a reservoir errors stay within the local
    length of the layer, ``(c'')^(-1/4)`` in these units, and spacings follow that length.
    """
    p = solution.problem
    x = p.nodes
    h = np.diff(x)
    slope = np.diff(solution.u) / h
    epsilon = p.a * h
    c = 0.5 * (solution.c[:, :-1] + solution.c[:, 1:])
    bend = -0.5 * (solution.charge[:-1] + solution.charge[1:]) / epsilon
    middle = 0.5 * (x[:-1] + x[1:])
    green = 1.0 / np.sqrt(p.z**2 @ c / epsilon + 1.0 / np.minimum(middle, 1.0 - middle) ** 2)
    wanted = np.zeros(h.size)
    for s, z in enumerate(p.z):
        second = np.abs(z * z * slope**2 - z * bend) * c[s]
        if p.closed:
            mean = (c[s] * h) @ green / (c[s] @ h)
            wanted += abs(z) * (second * mean + 2.0 * np.abs(z * slope) * c[s])
        else:
            wanted += np.sqrt(np.sqrt(second))
    if p.closed:
        wanted = np.cbrt(wanted)
    total = wanted @ h
    if not total > 0.0:
        return np.ones(h.size)
    return EVEN_SHARE + (1.0 - EVEN_SHARE) * wanted / total
