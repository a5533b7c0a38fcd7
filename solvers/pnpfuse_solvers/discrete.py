"""A cell's dimensionless equations on one mesh, and a solution of them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from pnpfuse_solvers import grid, kernels
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome

ITERATION_LIMIT = 200
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
    unit: float  # what 1/m^3 is in the unit of ``amount``
    closed: bool
    halves: Array  # (2, N-1) mean fixed charge of each edge's first and second half

    @functools.cached_property
    def nodes(self) -> Array:
        """Nodes on [0, 1]."""
        return self.x / self.x[-1]

    @functools.cached_property
    def h(self) -> Array:
        """Spacings (N-1,) in cell lengths, from the stored coordinates."""
        return np.diff(self.x) / self.x[-1]

    def start(self) -> Array:
        """A potential (N,) to start from: see ``kernels.start``."""
        eps = 1.0 / (1.0 / self.a).sum()
        return kernels.start(self.x, self.x[-1], eps, self.v, self.z, self.amount, self.closed)

    def solve(self, start: Array, tol: float) -> Solution:
        """Run Newton's method from ``start`` (N,)."""
        u = start.copy()
        for end in (0, -1):
            if self.r[end] == 0.0:
                u[end] = self.v[end]
        c, _, iterations, step, status = kernels.equilibrium(
            u, self.a, self.w, self.f, self.r, self.v, self.z, self.amount, self.closed,
            tol, ITERATION_LIMIT,
        )  # fmt: skip
        return Solution(self, u, c, int(iterations), float(step), _STATUS[int(status)])

    def at_potential(self, u: Array, solution: Solution) -> Solution:
        """A solution like the given one with another potential and its Boltzmann profiles."""
        c = np.empty_like(solution.c)
        kernels.boltzmann(u, self.z, self.amount, self.w, self.closed, c)
        return dataclasses.replace(solution, problem=self, u=u, c=c)


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

    def log_partition(self) -> Array:
        """ln of the mean of exp(-z u) of each species (S,), from its Boltzmann profile."""
        p = self.problem
        out = np.empty(p.z.size)
        kernels.log_partition(self.u, p.z, p.amount, self.c, out)
        return out

    def residual(self) -> float:
        """Largest violation of Gauss's law in a node's box, over the largest displacement."""
        p = self.problem
        return kernels.residual_of(self.u, p.a, p.w, p.f, p.r, p.v, p.z, p.amount, self.c)

    def layer_resolution(self) -> float:
        """How coarse the mesh is where ions are: above 1 a layer is not resolved.

        The larger of the first spacing at a wall over the Debye length there, and the largest step
        of ln c across an interval that holds more than a thousandth of a species.
        """
        p = self.problem
        return kernels.resolution_of(self.u, p.h, p.a, p.z, self.c)


def unit_of(cell: Cell) -> float:
    """What 1/m^3 is in the unit of ``Discrete.amount``: e^2 l^2 / (eps0 kB T)."""
    k = cell.constants
    return k.charge**2 * cell.length**2 / (k.permittivity * k.boltzmann * cell.temperature)


def discretise(cell: Cell, x: Array) -> Discrete:
    """Return the cell's equations on the nodes ``x`` [m]."""
    # Spacings from the stored coordinates, so that whoever integrates over x finds the same mass.
    h = (x[1:] - x[:-1]) / cell.length
    if callable(cell.relative_permittivity):
        points = x[:-1, None] + 0.5 * np.diff(x)[:, None] * (1.0 + _GAUSS_X)
        # Harmonic mean of the permittivity: exact for the potential drop across the edge.
        a = 1.0 / (h * (0.5 * (1.0 / cell.permittivity_at(points)) @ _GAUSS_W))
    else:
        a = cell.relative_permittivity / h
    w = grid.trapezoid_weights(h)
    unit = unit_of(cell)
    r = np.zeros(2)
    for end, thickness in enumerate(cell.stern_thickness):
        if thickness > 0.0:
            r[end] = cell.permittivity_at(x[[-end]])[0] * cell.length / thickness
    halves = _half_means(cell, x)
    if callable(cell.fixed_charge):
        boxes = np.zeros(x.size)  # a jump may fall between two nodes
        boxes[:-1] += 0.5 * h * halves[0]
        boxes[1:] += 0.5 * h * halves[1]
        boxes /= w
    else:
        boxes = np.full(x.size, float(cell.fixed_charge))
    return Discrete(
        x=x,
        a=a,
        w=w,
        f=unit * boxes,
        r=r,
        v=np.array(cell.potential) / cell.thermal_voltage,
        z=np.array([ion.valence for ion in cell.ions]),
        amount=unit * np.array([ion.concentration for ion in cell.ions]),
        unit=unit,
        closed=cell.contact == "closed",
        halves=unit * halves,
    )


def _half_means(cell: Cell, x: Array) -> Array:
    """Means of the fixed charge over the first and the second half of each edge (2, N-1)."""
    if not callable(cell.fixed_charge):
        return np.full((2, x.size - 1), float(cell.fixed_charge))
    middle = 0.5 * (x[:-1] + x[1:])
    edges = np.stack([x[:-1], middle, x[1:]])
    points = edges[:-1, :, None] + 0.5 * np.diff(edges, axis=0)[:, :, None] * (1.0 + _GAUSS_X)
    return 0.5 * cell.fixed_charge_at(points) @ _GAUSS_W
