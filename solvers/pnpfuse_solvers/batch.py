"""Equilibria of many cells side by side: structure of arrays, uniform profiles, point ions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnpfuse_solvers import grid, interface, kernels, outcome
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import unit_of
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome, judged

Counts = NDArray[np.int64]
ITERATION_LIMIT = 200
STATUS = {
    kernels.CONVERGED: Outcome.CONVERGED,
    kernels.STALLED: Outcome.STALLED,
    kernels.EXHAUSTED: Outcome.EXHAUSTED,
    kernels.NOT_FINITE: Outcome.NOT_FINITE,
}
# Least nodes, share of the nodes and tolerance of the solve that only tells where nodes are wanted.
COARSEST, COARSE_SHARE, COARSE_TOL = 61, 8, 1e-3
# A mesh of this layer_resolution is placed again, so many times at the most.
ROUGH, ROUNDS = 0.5, 3


@dataclasses.dataclass(frozen=True)
class Batch:
    """Dimensionless numbers of C cells (see ``kernels``), one row a cell."""

    length: Array  # (C,) m
    unit: Array  # (C,) what 1/m^3 is in the unit of ``amount``
    volt: Array  # (C,) thermal voltage [V]
    eps: Array  # (C,) relative permittivity
    fixed: Array  # (C,) fixed charge, in the unit of ``amount``
    r: Array  # (C, 2) Stern layer conductances; 0: potential held
    v: Array  # (C, 2) electrode potentials, kB T/e
    z: Array  # (C, S) valences
    amount: Array  # (C, S) e^2 l^2 c / (eps0 kB T)
    closed: bool

    def rows(self, part: slice | NDArray[np.intp]) -> Batch:
        """Some of the cells."""
        fields = {name: value[part] for name, value in vars(self).items() if name != "closed"}
        return Batch(**fields, closed=self.closed)


@dataclasses.dataclass(frozen=True)
class Equilibria:
    """Solutions of a batch: NaN and a status where a cell failed."""

    batch: Batch
    x: Array  # (C, N) m
    u: Array  # (C, N) kB T/e
    slope: Array  # (C, N) u' per cell length
    c: Array  # (C, S, N) in the unit of ``amount``
    numbers: Array  # (C, 8) see kernels.levels; the last is the error of Newton's method
    excess: Array  # (C, S) see kernels.levels
    iterations: Counts  # (C,)
    status: Counts  # (C,)
    reason: Counts  # (C,) interface.FOUND or why there is none
    interface: Array  # (C, 6) position, uncertainty, width, split, stretch; on [0, 1]
    separation: Array  # (C, S)

    def outcomes(self, order: int) -> list[Outcome]:
        """What became of each cell."""
        error, residual, resolution = self.numbers[:, 3:6].T
        sure = (
            (resolution <= 0.5)
            & (residual <= outcome.LARGEST_VIOLATION)
            & ~(error > outcome.LARGEST_ERROR)
        )
        found = [Outcome.CONVERGED] * self.status.size
        for k in np.flatnonzero((self.status != kernels.CONVERGED) | ~sure):
            given = (float(resolution[k]), float(residual[k]), float(error[k]))
            found[k] = judged(STATUS[int(self.status[k])], *given, order)
        return found

    def why(self, k: int) -> str:
        """Why cell ``k`` has no interface; empty where it has one."""
        crossed: Array = np.empty(0)
        if self.reason[k] == interface.SEVERAL:
            z, x = self.batch.z[k], self.x[k] / self.batch.length[k]
            profiles = interface.boltzmann_profiles(
                self.u[k], self.slope[k], self.c[k], self.excess[k], z
            )
            crossed = interface.places_of(x, profiles[0], profiles[1], z)
        first, last = self.interface[k, 4:]
        return interface.explain(int(self.reason[k]), first, last, crossed)


def gather(cell: Cell) -> Batch:
    """A cell of uniform permittivity and fixed charge as a batch of one."""
    unit = unit_of(cell)
    volt = cell.thermal_voltage
    eps = float(cell.relative_permittivity)  # type: ignore[arg-type]
    left, right = cell.stern_thickness
    r = [eps * cell.length / thickness if thickness > 0.0 else 0.0 for thickness in (left, right)]
    return Batch(
        length=np.array([cell.length]),
        unit=np.array([unit]),
        volt=np.array([volt]),
        eps=np.array([eps]),
        fixed=np.array([unit * cell.fixed_charge]),  # type: ignore[operator]
        r=np.array([r]),
        v=np.array([[p / volt for p in cell.potential]]),
        z=np.array([[ion.valence for ion in cell.ions]]),
        amount=np.array([[unit * ion.concentration for ion in cell.ions]]),
        closed=cell.contact == "closed",
    )


def solve(batch: Batch, nodes: int, tol: float, order: int) -> Equilibria:
    """Solve every cell on a mesh of its own: found on a coarse mesh, used on a fine one.

    Where the fine mesh turns out rough, nodes are placed once more, after its solution.
    """
    coarse = min(nodes, max(COARSEST, nodes // COARSE_SHARE))
    found = _placed(batch, *_guess(batch, coarse, tol), nodes, tol, order)
    for _ in range(ROUNDS):
        rough = (found["numbers"][:, 5] > ROUGH) | (found["numbers"][:, 3] > outcome.LARGEST_ERROR)
        again = np.flatnonzero(rough | (found["status"] != kernels.CONVERGED))
        if not again.size:
            break
        part = batch.rows(again)
        x, u, c, status, used = _guess(part, nodes, tol)
        solved = found["status"][again] == kernels.CONVERGED
        for start, known in ((x, "x"), (u, "u"), (c, "c"), (status, "status")):
            start[solved] = found[known][again[solved]]
        better = _placed(
            part, x, u, c, status, used + found["iterations"][again], nodes, tol, order
        )
        for name, column in found.items():
            column[again] = better[name]
    doubt = np.maximum(found.pop("doubt"), max(tol, 1e-10))
    with np.errstate(all="ignore"):  # extreme cells fail, and say so
        places = found["x"] / batch.length[:, None]
    reason, place, share = interface.find_each(
        places, found["u"], found["slope"], found["c"], found["excess"], batch.z, doubt
    )
    return Equilibria(batch, **found, reason=reason, interface=place, separation=share)


def _guess(b: Batch, nodes: int, tol: float) -> tuple[Array, Array, Array, Counts, Counts]:
    """Nodes, u, c, status and iterations of solves that tell where nodes are wanted."""
    status = np.zeros(b.length.size, np.int64)
    x = grid.first_each(nodes, b.eps, b.fixed, b.v, b.z, b.amount, b.closed) * b.length[:, None]
    u, c, iterations = kernels.coarse_each(
        x, b.length, b.eps, b.fixed, b.r, b.v, b.z, b.amount, b.closed,
        max(tol, COARSE_TOL), ITERATION_LIMIT, status,
    )  # fmt: skip
    return x, u, c, status, iterations


def _placed(
    b: Batch, old_x: Array, old_u: Array, old_c: Array, status: Counts, iterations: Counts,
    nodes: int, tol: float, order: int,
) -> dict[str, Any]:  # fmt: skip
    """Solutions on meshes placed after others; fields of `Equilibria` and the doubt of u."""
    length = b.length[:, None]
    x = grid.after_each(nodes, old_x / length, old_u, old_c, b.eps, b.fixed, b.z, b.closed) * length
    u, slope, c, numbers, excess, doubt, used = kernels.levels_each(
        x, b.length, b.eps, b.fixed, b.r, b.v, b.z, b.amount, b.closed, old_x, old_u,
        tol, ITERATION_LIMIT, order, status,
    )  # fmt: skip
    return {
        "x": x, "u": u, "slope": slope, "c": c, "numbers": numbers, "excess": excess,
        "doubt": doubt, "iterations": iterations + used, "status": status,
    }  # fmt: skip
