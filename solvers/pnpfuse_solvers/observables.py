"""What is read off a solution, and its extrapolation over nested meshes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Solution
from pnpfuse_solvers.energy import free_energy
from pnpfuse_solvers.grid import Array


def _nothing() -> Array:
    return np.zeros(0)


def log_of(c: Array) -> Array:
    """ln c, finite also where a concentration has underflowed to 0."""
    return np.log(np.maximum(c, np.finfo(float).tiny))


def least_share(x: Array, density: Array) -> Array:
    """Return the lowest of densities (.., N) over their trapezoidal means over ``x`` (.., N)."""
    both = density[..., 1:] + density[..., :-1]
    total = 0.5 * np.einsum("...i,...i->...", both, np.diff(x))
    return density.min(axis=-1) * (x[..., -1] - x[..., 0]) / total


@dataclasses.dataclass(frozen=True)
class Observables:
    """Quantities that converge smoothly with the mesh, at the nodes of the coarsest one."""

    u: Array  # (N,) potential, kB T/e
    field: Array  # (N,) electric field [V/m]
    surface_charge: Array  # (2,) charge of the electrodes [C/m^2]
    free_energy: float  # [J/m^2]
    log_partition: Array  # (S,) ln int exp(-z u) dx, cell lengths
    # Of a state with flux only; at equilibrium concentrations follow from u.
    log_c: Array = dataclasses.field(default_factory=_nothing)  # (S, N)
    flux: Array = dataclasses.field(default_factory=_nothing)  # (S,) of largest D, unit, length 1


def observe(cell: Cell, solution: Solution, stride: int = 1) -> Observables:
    """Read the observables off a solution, nodal ones at every ``stride``-th node.

    Fields and charges follow from Gauss's law: the displacement in the middle of an edge, taken to
    its ends through the charge between them.
    """
    p = solution.problem
    to_field = cell.thermal_voltage / cell.length
    displacement = -p.a * np.diff(solution.u)  # eps_r E on the edges
    half = 0.5 * p.h
    at_node = np.empty(p.x.size)
    ions = p.z @ solution.c
    # Only the half of a box that lies on the edge: a step of the fixed charge may be at the node.
    at_node[1:] = displacement + (ions[1:] + p.halves[1]) * half
    at_node[0] = displacement[0] - (ions[0] + p.halves[0, 0]) * half[0]
    surface = cell.constants.permittivity * to_field * at_node[[0, -1]] * np.array([1.0, -1.0])
    field = at_node * to_field / cell.permittivity_at(p.x)
    return Observables(
        solution.u[::stride],
        field[::stride],
        surface,
        free_energy(cell, p.w, p.a, p.r, solution.u, solution.c / p.unit, surface),
        solution.log_partition(),
    )


def extrapolate(levels: Sequence[Observables]) -> tuple[Observables, Observables | None]:
    """Richardson's extrapolation over meshes of which each halves the spacings of the one before.

    Returns the extrapolated observables and the last change that a further level made, an estimate
    of their errors. One level is returned as it is, with unknown errors (None).
    """
    table = list(levels)
    change = None
    for power in range(1, len(levels)):
        # The error of the scheme is a series in h^2: each sweep removes the next of its terms.
        factor = 4.0**power
        before = table[-1]
        table = [
            _combined(fine, coarse, factor / (factor - 1.0), -1.0 / (factor - 1.0))
            for coarse, fine in zip(table[:-1], table[1:], strict=True)
        ]
        change = _combined(table[-1], before, 1.0, -1.0)
    return table[-1], change


def _combined(fine: Observables, coarse: Observables, p: float, q: float) -> Observables:
    return Observables(
        *(
            p * getattr(fine, field.name) + q * getattr(coarse, field.name)
            for field in dataclasses.fields(Observables)
        )
    )
