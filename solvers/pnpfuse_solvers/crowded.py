"""Equilibrium of a cell whose ions have a size, or an excess free energy of their own.

The model and the compiled Newton method stand in ``steric``; here are the mesh and the start.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.dataset import neutrality_note, solution_dataset
from pnpfuse_solvers.discrete import Discrete, discretise
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.mixture import (
    CrowdedSolution,
    Mixture,
    at_potential,
    fresh,
    mixture,
    newton,
)
from pnpfuse_solvers.observables import Observables, extrapolate, observe
from pnpfuse_solvers.outcome import Outcome, SolverError, judged
from pnpfuse_solvers.placement import Placement

MESH_PASSES = 4
# Step from one temperature to the next where a cell is solved hot first.
COOLING = 4.0
LARGEST_EXPONENT = 600.0
# Share of the nodes that is spread evenly, whatever the solution wants.
EVEN_SHARE = 0.05
# Share of the nodes that follows each species alike: one that carries little charge has layers too.
MINOR_SHARE = 0.2
# A mixture that is not convex may jump between two phases: looked for at these shares of an edge.
BETWEEN = np.linspace(0.0, 1.0, 9)[1:-1]


@np.errstate(all="ignore")  # what is not finite ends in an outcome
def solve(cell: Cell, nodes: int, tol: float, throw: bool, order: int) -> xr.Dataset:
    """Return what `solve_equilibrium` returns, for a cell whose ions are no points."""
    ions = mixture(cell)
    _check_reservoir(cell, ions)
    solution = on_placed_mesh(cell, ions, nodes, tol)
    levels = [solution]
    while len(levels) < order // 2 and levels[-1].outcome.ok:
        finer = discretise(cell, grid.halved(levels[-1].problem.x))
        levels.append(newton(finer, ions, tol, levels[-1]))
    residual, resolution = levels[-1].residual(), solution.layer_resolution()
    observed, change = extrapolate([_observe(cell, s, 2**i) for i, s in enumerate(levels)])
    error = float(np.abs(change.u).max()) if change else np.nan
    # What fails on a finer mesh is a layer that none resolves, if the coarse one does not.
    ended = levels[0 if resolution > 1.0 else -1].outcome
    if ended.ok and not _convex_between(cell, levels[-1]):
        ended = Outcome.NOT_CONVEX
    outcome = judged(ended, resolution, residual, error, order)
    if outcome.ok and not np.isfinite(observed.free_energy):
        outcome = Outcome.NOT_FINITE
    if throw and not outcome.ok:
        raise SolverError(
            outcome,
            f"(nodes {nodes}, last step {levels[-1].step:.2g} kB T/e, "
            f"layer_resolution {resolution:.3g}, residual {residual:.2g})",
        )
    if len(levels) > 1:
        solution = at_potential(solution, observed.u)
    solution = dataclasses.replace(
        solution, outcome=outcome, iterations=sum(level.iterations for level in levels)
    )
    p = solution.problem
    slope = -observed.field * cell.length / cell.thermal_voltage
    amounts = np.abs(solution.c @ p.w / p.amount - 1.0)
    excess = solution.mu[:, None] - np.outer(p.z, solution.u) - solution.log_c
    return solution_dataset(
        cell,
        solution,
        observed,
        np.nan_to_num(-solution.chi_z / np.maximum(solution.c, 1e-300) * slope),
        {
            "residual": residual,
            "error_estimate": error,
            "mass_error": amounts.max() if p.closed else 0.0,
            "layer_resolution": resolution,
        },
        {
            "title": f"equilibrium of a {cell.contact} cell of ions that are no points",
            "contact": cell.contact,
            "notes": neutrality_note(cell),
            "tol": tol,
            "order": order,
        },
        doubt=(p.z.max() - p.z.min()) * np.abs(change.u) if change else None,
        packing=-np.expm1(solution.log_gamma),
        excess_potential=excess,
    )


def on_placed_mesh(cell: Cell, ions: Mixture, nodes: int, tol: float) -> CrowdedSolution:
    """Solve on a mesh made for the cell, then on meshes placed after the solution."""
    placement = Placement(cell)
    mesh = placement.first(nodes)
    p = discretise(cell, mesh * cell.length)
    layers = _layers(p, ions)
    solution = None if layers is None else newton(p, ions, tol, fresh(p, ions, layers))
    iterations = 0 if solution is None else solution.iterations
    if solution is None or not solution.outcome.ok:
        solution = _cooled(cell, ions, mesh, placement, tol)
        iterations += solution.iterations
    for _ in range(MESH_PASSES - 1):
        # A coarse mesh may hold Newton's method up where a placed one does not.
        if solution.outcome not in (Outcome.CONVERGED, Outcome.STALLED):
            break
        mesh = placement.follow(solution.problem.nodes, node_density(solution), nodes)
        solution = newton(discretise(cell, mesh * cell.length), ions, tol, solution)
        iterations += solution.iterations
    return dataclasses.replace(solution, iterations=iterations)


def _cooled(
    cell: Cell, ions: Mixture, mesh: Array, placement: Placement, tol: float
) -> CrowdedSolution:
    """Solve the cell hot, where nothing is packed, and cool it down with the mesh following.

    The edges of packed layers are as thin as kB T over the field there. At a temperature of
    ``heat`` times the cell's own they are wide, and each stage is a good start for the next.
    """

    def stage(heat: float, near: CrowdedSolution | None) -> CrowdedSolution:
        p = discretise(cell, mesh * cell.length)
        hot = dataclasses.replace(p, a=heat * p.a, r=heat * p.r, v=p.v / heat)
        start = near or fresh(hot, ions, hot.v[0] + (hot.v[1] - hot.v[0]) * mesh)
        return newton(hot, ions, tol if heat == 1.0 else 1e-3, start)

    p = discretise(cell, mesh * cell.length)
    charge = np.abs(p.z) @ p.amount + np.abs(p.f) @ p.w
    packed = charge * (1.0 / p.a).sum() / 8.0
    heat = max(1.0, (np.abs(p.v).max() + packed) / 4.0)
    solution = stage(heat, None)
    iterations = solution.iterations
    factor = COOLING
    while solution.outcome.ok and heat > 1.0 and factor > 1.1:
        mesh = placement.follow(solution.problem.nodes, node_density(solution), mesh.size)
        colder = max(1.0, heat / factor)
        rise = heat / colder
        tried = stage(colder, _colder(solution, rise))
        iterations += tried.iterations
        if tried.outcome.ok:
            solution, heat = tried, colder
        else:
            factor = np.sqrt(factor)
    if heat > 1.0:
        solution = tried if iterations > solution.iterations else solution
    return dataclasses.replace(solution, iterations=iterations)


def _colder(solution: CrowdedSolution, rise: float) -> CrowdedSolution:
    """The start for a stage at which the same energies are ``rise`` times as many kB T."""
    ions, mu = solution.mixture, solution.mu
    if solution.problem.closed:
        # Exponents above close packing are energies and grow; below it they say how many ions
        # there are, which the stage keeps.
        deepest = (-np.outer(ions.z, solution.u)).max(axis=1)
        packed = np.where(ions.k > 0.0, np.maximum(mu + deepest + ions.log_v, 0.0), 0.0)
        mu = mu + packed * (rise - 1.0) - deepest * (rise - 1.0)
    return dataclasses.replace(solution, u=solution.u * rise, mu=mu)


def node_density(solution: CrowdedSolution) -> Array:
    """Wanted nodes per length on each edge: ``placement.node_density`` for any profile.

    The curvature of the profiles is taken from the profiles themselves, so that the nodes go to the
    edges of a packed layer and not into its flat inside.
    """
    p = solution.problem
    x = p.nodes
    h = np.diff(x)
    middle = 0.5 * (x[:-1] + x[1:])
    screening = 0.5 * (p.z @ (solution.chi_z[:, :-1] + solution.chi_z[:, 1:])) / (p.a * h)
    green = 1.0 / np.sqrt(screening + 1.0 / np.minimum(middle, 1.0 - middle) ** 2)
    wanted, each = np.zeros(h.size), np.zeros(h.size)
    for s, z in enumerate(p.z):
        c = solution.c[s]
        slope = np.diff(c) / h
        bend = np.zeros(x.size)
        bend[1:-1] = np.abs(np.diff(slope)) / (0.5 * (h[:-1] + h[1:]))
        # Differences of concentrations that differ by rounding are no layers.
        bend[1:-1][bend[1:-1] < 1e-12 * c[1:-1] / np.minimum(h[:-1], h[1:]) ** 2] = 0.0
        bend[[0, -1]] = bend[[1, -2]]
        own = np.maximum(bend[:-1], bend[1:])
        if p.closed:
            held = 0.5 * (c[:-1] + c[1:]) * h
            own = own * (held @ green / held.sum()) + 2.0 * np.abs(slope)
            wanted += abs(z) * own
            own = np.cbrt(own)
        else:
            own = np.sqrt(np.sqrt(own))
            wanted += own
        if (count := own @ h) > 0.0:
            each += own / count / p.z.size
    if p.closed:
        wanted = np.cbrt(wanted)
    total = wanted @ h
    if not total > 0.0:
        return np.ones(h.size)
    minor = MINOR_SHARE if p.z.size > 1 else 0.0
    return EVEN_SHARE + (1.0 - EVEN_SHARE - minor) * wanted / total + minor * each


def _layers(p: Discrete, ions: Mixture) -> Array | None:
    """Potential of each wall's own half-space; None where a closed cell lacks the ions for that.

    The first integral ``eps u'^2 / 2 = P(u) - P(0)``, integrated once more, is exact for a wall by
    itself, whatever the mixture is.
    """
    x, v = p.nodes, p.v
    epsilon = float((p.a * np.diff(x)).mean())
    layers = np.zeros_like(x)
    for wall, distance in ((v[0], x), (v[1], 1.0 - x)):
        if wall != 0.0:
            layer, charge = _half_space(wall, epsilon, ions, distance)
            opposite = np.abs(ions.z * p.amount)[ions.z * wall < 0.0].sum()
            lacking = p.closed and charge > 0.5 * opposite
            if lacking or not np.isfinite(layer).all():
                return None
            layers += layer
    miss = v - layers[[0, -1]]
    return layers + miss[0] + (miss[1] - miss[0]) * x


def _half_space(wall: float, epsilon: float, ions: Mixture, distance: Array) -> tuple[Array, float]:
    """Potential at a distance from a wall at the potential ``wall``, and the wall's charge."""
    small = 1e-3 * min(1.0, abs(wall))
    even = np.linspace(0.0, abs(wall), int(min(20.0 + 10.0 * abs(wall), 5000.0)))[1:]
    y = np.union1d(np.geomspace(small, abs(wall), 200), even[even > small])
    if ions.points:
        y = y[y * ions.points < LARGEST_EXPONENT]
    c, _ = ions.state(np.sign(wall) * y, ions.mu, *ions.start(y.size))
    pull = np.maximum(np.sign(wall) * (ions.z @ (np.exp(ions.log_c)[:, None] - c)), 0.0)
    pressure = 0.5 * pull[0] * y[0] + np.concatenate(
        [[0.0], np.cumsum(0.5 * (pull[1:] + pull[:-1]) * np.diff(y))]
    )
    slope = np.sqrt(2.0 * np.maximum(pressure, 1e-300) / epsilon)
    away = np.cumsum((np.diff(y) * 0.5 * (1.0 / slope[1:] + 1.0 / slope[:-1]))[::-1])
    place = np.concatenate([[0.0], away])
    layer = np.sign(wall) * np.interp(distance, place, y[::-1], right=0.0)
    return layer, float(epsilon * slope[-1])


def _observe(cell: Cell, solution: CrowdedSolution, stride: int) -> Observables:
    """The observables, with the excess in the free energy (against the given composition)."""
    observed = observe(cell, solution, stride)
    p, ions = solution.problem, solution.mixture
    packing = -np.expm1(solution.log_gamma)
    density = np.zeros_like(packing)
    if ions.k.any():
        density += ions.inv_v0 * (np.exp(solution.log_gamma) * solution.log_gamma + packing)
    if cell.excess is not None:
        density += ions.unit * cell.excess.free_energy(solution.c / ions.unit)
    density -= (ions.mu - ions.log_c) @ solution.c
    thermal = cell.constants.boltzmann * cell.temperature
    extra = thermal * cell.length / ions.unit * (p.w @ density)
    return dataclasses.replace(observed, free_energy=observed.free_energy + float(extra))


def _convex_between(cell: Cell, solution: CrowdedSolution) -> bool:
    """Whether a user's free energy is convex at, and in between, all nodes' compositions.

    Newton's method may step over a range in which it is not; then the profile jumps there from one
    phase to another, and another jump would do as well.
    """
    if cell.excess is None:
        return True
    ions = solution.mixture
    k = ions.k
    for share in (0.0, *BETWEEN):
        log_c = (1.0 - share) * solution.log_c[:, :-1] + share * solution.log_c[:, 1:]
        c = np.exp(log_c) / ions.unit
        gamma = np.maximum(1.0 - (k / ions.inv_v0 * ions.unit) @ c, 1e-300)
        _, slope = cell.excess.at(c)  # (S, S, N)
        crowd = k[:, None, None] * k[None, :, None] * ions.unit / (ions.inv_v0 * gamma)
        matrix = (slope + np.minimum(crowd, 1e300)) * np.sqrt(c[:, None] * c[None, :])
        matrix = np.moveaxis(matrix, -1, 0) + np.eye(k.size)
        if not np.isfinite(matrix).all() or np.linalg.eigvalsh(matrix).min() <= 0.0:
            return False
    return True


def _check_reservoir(cell: Cell, ions: Mixture) -> None:
    """Points have no saturation: their number grows like exp(|z u|)."""
    u = max(abs(p) for p in cell.potential) / cell.thermal_voltage
    if cell.contact == "reservoir" and u * ions.points > LARGEST_EXPONENT:
        raise ValueError(
            f"potential: got {u:.3g} kB T/e, which against a reservoir raises concentrations of "
            f"ions without a diameter exp({u * ions.points:.3g}) times; stay below "
            f"exp({LARGEST_EXPONENT:g})"
        )
