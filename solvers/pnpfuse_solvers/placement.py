"""Where a cell needs mesh nodes: before it is solved, and after its solution."""

from __future__ import annotations

import numpy as np

from pnpfuse_solvers import grid
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Solution, discretise, unit_of
from pnpfuse_solvers.grid import Array

# Features of fixed charge or permittivity narrower than 1/16384 of the cell may be missed.
SAMPLES = 16385
# Share of the nodes that follows the variation of fixed charge and permittivity.
PROFILE_SHARE = 0.2


class Placement:
    """The places of a cell that want nodes whatever its solution, sampled once.

    Attributes
    ----------
    steps : array (P,)
        Positions on (0, 1) where fixed charge or permittivity jumps. A step between two nodes
        costs the scheme its order; a node on it costs nothing.
    """

    def __init__(self, cell: Cell):
        self.cell = cell
        # Edges of pieces of [0, 1] and how much the profiles vary per length on them.
        self._pieces = np.array([0.0, 1.0])
        self._variation = np.zeros(1)
        self._fixed = 0.0  # largest fixed charge, in the unit of Discrete.amount
        found = np.zeros(0)
        for profile, at, values in (
            (cell.fixed_charge, cell.fixed_charge_at, np.asarray),
            (cell.relative_permittivity, cell.permittivity_at, np.log),
        ):
            if not callable(profile):
                continue
            x = np.linspace(0.0, cell.length, SAMPLES)
            sampled = at(x)
            if profile is cell.fixed_charge:
                self._fixed = float(np.abs(sampled).max())
            places, stepped = np.zeros(0), np.zeros(x.size - 1, bool)
            if not getattr(profile, "smooth", False):  # an expression knows
                places, stepped = _steps(at, x, sampled)
            found = np.concatenate([found, places])
            self._follow(np.where(stepped, 0.0, np.abs(np.diff(values(sampled)))))
        if not callable(cell.fixed_charge):
            self._fixed = abs(cell.fixed_charge)
        self._fixed *= unit_of(cell)
        steps = np.unique(found) / cell.length
        # A step at an end is one value there and another inside: no node can stand beside it.
        self.steps: Array = steps[(steps > 1e-9) & (steps < 1.0 - 1e-9)]

    def _follow(self, change: Array) -> None:
        """Add the changes of a profile from sample to sample, its steps left out."""
        total = change.sum()
        if not total > 0.0:
            return
        share = change / total * change.size
        # Stretches of about the same variation become one piece.
        level = np.round(4.0 * np.log2(share + 0.05))
        cuts = np.flatnonzero(np.diff(level)) + 1
        pieces = np.concatenate([[0], cuts, [change.size]])
        means = np.add.reduceat(share, pieces[:-1]) / np.diff(pieces)
        x = np.union1d(self._pieces, pieces / change.size)
        self._variation = _on(x, self._pieces, self._variation) + _on(
            x, pieces / change.size, means
        )
        self._pieces = x

    def first(self, nodes: int) -> Array:
        """Mesh on [0, 1] for a cell that is not solved yet: layers at walls and steps."""
        p = discretise(self.cell, np.array([0.0, 0.5, 1.0]) * self.cell.length)
        eps = self.cell.mean_permittivity
        lengths = grid.wall_layers(eps, self._fixed, p.v, p.z, p.amount, p.closed)
        if self.steps.size == 0:
            mesh = grid.walls(nodes, lengths[0], lengths[1])
        else:
            inner = np.full(self.steps.size, self._inner_layer(float(p.z**2 @ p.amount)))
            points = np.concatenate([[0.0, 1.0], self.steps])
            mesh = grid.graded(nodes, points, np.concatenate([lengths, inner]))
        return self.follow(mesh, 1.0 / np.diff(mesh), nodes)

    def after(self, solution: Solution, nodes: int) -> Array:
        """Mesh on [0, 1] placed after an equilibrium."""
        p = solution.problem
        x = p.nodes
        eps = p.a * np.diff(x)
        density = grid.ion_density(x, solution.u, solution.c, p.f, eps, p.z, p.closed)
        return self.follow(x, density, nodes)

    def follow(self, mesh: Array, density: Array, nodes: int) -> Array:
        """Place ``nodes`` points after a density on the edges of ``mesh``.

        Where fixed charge or permittivity are functions, a share of the nodes follows their
        variation, and nodes are put on their steps.
        """
        x, wanted = mesh, density
        total = self._variation @ np.diff(self._pieces)
        if total > 0.0:
            x = np.union1d(mesh, self._pieces)
            base = _on(x, mesh, density) / (density @ np.diff(mesh))
            extra = _on(x, self._pieces, self._variation) / total
            wanted = (1.0 - PROFILE_SHARE) * base + PROFILE_SHARE * extra
        return grid.snapped(grid.place(x, wanted, nodes), self.steps)

    def steady(self, nodes: int, ends: Array) -> Array:
        """Mesh on [0, 1] for a current-carrying state between concentrations (2, S) [1/m^3].

        Layers form at steps of the fixed charge, and at an end whose solution is not neutral.
        """
        p = discretise(self.cell, np.array([0.0, 0.5, 1.0]) * self.cell.length)
        c = ends * p.unit
        debye = np.sqrt(self.cell.mean_permittivity / (c @ p.z**2))
        charged = np.abs(c @ p.z + p.f[[0, -1]]) > 1e-6 * (c @ np.abs(p.z))
        even = np.linspace(0.0, 1.0, nodes)
        if not (charged.any() or self.steps.size):
            return even
        lengths = np.where(charged, np.minimum(debye, 1.0), 10.0)
        screened = min(self._inner_layer(float(p.z**2 @ p.amount)), float(debye.min()), 1.0)
        inner = np.full(self.steps.size, screened)
        points = np.concatenate([[0.0, 1.0], self.steps])
        mesh = grid.graded(nodes, points, np.concatenate([lengths, inner]))
        # Half of the nodes evenly: the flux comes from the whole cell.
        return self.follow(mesh, 1.0 / np.diff(mesh) / (nodes - 1) + 1.0, nodes)

    def _inner_layer(self, ions: float) -> float:
        """Thinnest layer to expect at a step of the fixed charge, in cell lengths."""
        return float(np.sqrt(self.cell.mean_permittivity / (ions + self._fixed)))


def breakpoints(cell: Cell) -> Array:
    """Return the positions [m] inside the cell where fixed charge or permittivity jumps."""
    return Placement(cell).steps * cell.length


def _on(x: Array, edges: Array, values: Array) -> Array:
    """Values given on the intervals between ``edges``, on those between ``x``."""
    middle = 0.5 * (x[:-1] + x[1:])
    return values[np.clip(np.searchsorted(edges, middle) - 1, 0, values.size - 1)]


def _steps(at, x: Array, values: Array) -> tuple[Array, Array]:
    """Jumps of a sampled function: their positions, and which intervals (N-1,) hold one.

    Steps are found by refinement: a difference that stays while its interval shrinks to rounding is
    a jump. A smooth slope shares its difference among the pieces of its interval and is dropped.
    """
    jumps = np.abs(np.diff(values))
    where = np.flatnonzero(jumps > 1e-6 * np.ptp(values))
    stepped = np.zeros(x.size - 1, bool)
    left, right, jump = x[where], x[where + 1], jumps[where]
    width = 1.0
    while where.size and width > 2.0**-40:
        # Four pieces are enough to drop the smooth many, 1024 find the few that are steps quickly.
        pieces = 4 if where.size > 64 else 1024
        width /= pieces
        points = left[:, None] + (right - left)[:, None] * np.linspace(0.0, 1.0, pieces + 1)
        differences = np.abs(np.diff(at(points), axis=1))
        piece = differences.argmax(axis=1)
        row = np.arange(where.size)
        stays = differences[row, piece] > 0.3 * jump
        left, right = points[row, piece][stays], points[row, piece + 1][stays]
        where, jump = where[stays], jump[stays]
    stepped[where] = True
    return 0.5 * (left + right), stepped


def steady_density(solution: Solution) -> Array:
    """Wanted nodes per length on each edge of a current-carrying state.

    A fifth of the nodes is spread evenly, two fifths follow the local length of the ions' charge,
    ``|rho''|^(-1/4)`` in these units, and two fifths the steepest of u and ln c: a neutral profile,
    too, has a thin layer where ions are drawn from a dilute end.
    """
    p = solution.problem
    h = p.h
    charge, all_ions = p.z @ solution.c, np.abs(p.z) @ solution.c
    slope = np.diff(charge) / h
    bend = np.zeros(p.x.size)
    bend[1:-1] = np.abs(np.diff(slope)) / (0.5 * (h[:-1] + h[1:]))
    # Differences of charges that are rounding of a neutral mixture are no layers.
    noise = 1e-12 * all_ions[1:-1] / np.minimum(h[:-1], h[1:]) ** 2
    bend[1:-1][bend[1:-1] < noise] = 0.0
    layers = np.sqrt(np.sqrt(np.maximum(bend[:-1], bend[1:])))
    steep = _steepest(solution) / h
    wanted = np.full(h.size, 0.2)
    for share, density in ((0.4, layers), (0.4, steep)):
        total = density @ h
        wanted += share * (density / total if total > 0.0 else 1.0)
    return wanted


def _steepest(solution: Solution) -> Array:
    """Largest change of ``z u`` and of ``ln c`` (to a millionth of its maximum) on each edge."""
    least = np.maximum(1e-6 * solution.c.max(axis=1, keepdims=True), np.finfo(float).tiny)
    c = np.maximum(solution.c, least)
    changes = np.abs(np.diff(np.log(c), axis=1)).max(axis=0)
    return np.maximum(changes, np.abs(solution.problem.z).max() * np.abs(np.diff(solution.u)))


def steady_resolution(solution: Solution, order: int) -> float:
    """How coarse the mesh is for a current-carrying state: above 1 a layer is not resolved.

    The largest spacing over the local Debye length where the ions' charge changes from node to
    node (a neutral stretch may have spacings of any number of Debye lengths). At order 2, where no
    second mesh tells of an error, also half the largest change of z u on an edge.
    """
    p = solution.problem
    ions = np.maximum(np.abs(p.z) @ solution.c, np.finfo(float).tiny)
    imbalance = (p.z @ solution.c) / ions
    changing = np.abs(np.diff(imbalance)) > 0.1
    c = np.maximum(solution.c[:, :-1], solution.c[:, 1:])
    h = p.h
    spacing = h * np.sqrt((p.z**2 @ c) / (p.a * h))
    worst = float(np.max(spacing * changing, initial=0.0))
    drop = 0.5 * float(np.abs(p.z).max() * np.abs(np.diff(solution.u)).max())
    return max(worst, drop) if order == 2 else worst
