"""Equilibrium of ions that are no points: with a size, or with an excess free energy of their own.

The model and the compiled Newton method stand in ``steric``; here are its parameters for a cell,
its start and its mesh.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr
from numba.core.ccallback import CFunc

from pnpfuse_solvers import grid, steric
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.dataset import neutrality_note, solution_dataset
from pnpfuse_solvers.discrete import ITERATION_LIMIT, Discrete, Solution, discretise
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.observables import Observables, extrapolate, observe
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.placement import EVEN_SHARE, breakpoints, first_mesh, follow

MESH_PASSES = 4
# Step from one temperature to the next where a cell is solved hot first.
COOLING = 4.0
LARGEST_EXPONENT = 600.0
LARGEST_RESIDUAL = 1e-6
# Share of the nodes that follows each species alike: one that carries little charge has layers too.
MINOR_SHARE = 0.2
# A mixture that is not convex may jump between two phases: looked for at these shares of an edge.
BETWEEN = np.linspace(0.0, 1.0, 9)[1:-1]
_STATUS = {
    steric.CONVERGED: Outcome.CONVERGED,
    steric.STALLED: Outcome.STALLED,
    steric.EXHAUSTED: Outcome.EXHAUSTED,
    steric.NOT_FINITE: Outcome.NOT_FINITE,
    steric.NOT_CONVEX: Outcome.NOT_CONVEX,
}


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What the ions of a cell are beside points, in the unit of ``Discrete.amount``."""

    z: Array  # (S,) valences
    k: Array  # (S,) volumes over their mean v0; 0 for a point
    log_v: Array  # (S,) ln of the volumes; 0 for a point, where it is not used
    inv_v0: float  # 1/v0; 1 where all are points
    excess: CFunc  # the user's excess chemical potentials, compiled
    user: bool  # whether there are any
    unit: float  # what 1/m^3 is in the unit of ``amount``
    log_c: Array  # (S,) of the given concentrations
    log_gamma: float  # ln(1 - Phi) at the given concentrations
    mu: Array  # (S,) chemical potentials at the given concentrations

    @property
    def kernel(self) -> tuple:
        """The argument ``ions`` of the kernels."""
        return self.z, self.k, self.log_v, self.inv_v0, self.excess, self.user, self.unit

    @property
    def points(self) -> float:
        """Largest charge of an ion whose number nothing limits; 0 where there is none."""
        return float(np.abs(self.z[self.k == 0.0]).max(initial=0.0))

    def state(self, u: Array, mu: Array, log_c: Array, log_gamma: Array) -> tuple[Array, Array]:
        """Concentrations and chi z (S, N) at ``u`` (N,); log_c and log_gamma are filled."""
        c, chi_z = np.full_like(log_c, np.nan), np.full_like(log_c, np.nan)
        sums = np.empty((self.z.size, self.z.size))
        steric.state(
            u, mu, np.ones_like(u), self.kernel, (log_c, log_gamma, c, chi_z, sums)
        )  # fmt: skip
        return c, chi_z

    def start(self, nodes: int) -> tuple[Array, Array]:
        """log_c (S, N) and log_gamma (N,) of the given composition."""
        return np.repeat(self.log_c[:, None], nodes, axis=1), np.full(nodes, self.log_gamma)


@dataclasses.dataclass(frozen=True)
class CrowdedSolution(Solution):
    """A solution together with what its mixture adds."""

    mixture: Mixture
    mu: Array  # (S,) chemical potentials
    log_c: Array  # (S, N)
    log_gamma: Array  # (N,)
    chi_z: Array  # (S, N) derivative of c by -u

    def layer_resolution(self) -> float:
        """As for points, with the true steps of ln c and the true screening."""
        p = self.problem
        h = np.diff(p.nodes)
        jumps = np.abs(np.diff(self.u))
        screening = np.sqrt((p.z @ self.chi_z)[[0, -1]] / (p.a * h)[[0, -1]])
        worst = float(np.max(h[[0, -1]] * screening * (jumps[[0, -1]] > 1e-6)))
        for s in range(p.z.size):
            piece = 0.5 * (self.c[s, :-1] + self.c[s, 1:]) * h
            steps = np.abs(np.diff(self.log_c[s]))[piece > 1e-3 * piece.sum()]
            worst = max(worst, float(np.max(steps, initial=0.0)))
        return worst


def mixture(cell: Cell) -> Mixture:
    """Return the cell's mixture; ValueError where its given composition cannot be."""
    unit = discretise(cell, np.linspace(0.0, cell.length, 3)).unit
    density = np.array([ion.concentration for ion in cell.ions])
    volume = np.array([ion.diameter**3 for ion in cell.ions])
    sized = volume > 0.0
    packing = float(volume @ density)
    if packing >= 1.0:
        raise ValueError(
            f"diameter: got ions that fill {packing:.3g} of the space at the given concentrations; "
            "give diameters or concentrations that leave some of it free"
        )
    v0 = float(volume[sized].mean()) if sized.any() else unit
    k = volume / v0
    log_gamma = float(np.log1p(-packing))
    log_c = np.log(unit * density)
    excess, user_mu = steric.no_excess, 0.0
    if cell.excess is not None:
        excess = cell.excess.compiled()
        user_mu, slope = cell.excess.at(density)
        matrix = np.eye(k.size) / density + np.outer(k, k) * v0 * np.exp(-log_gamma) + slope
        scaled = matrix * np.sqrt(np.outer(density, density))
        if not (np.isfinite(user_mu).all() and np.isfinite(scaled).all()):
            raise ValueError(
                "excess: its value or derivative is not finite at the given concentrations"
            )
        if np.linalg.eigvalsh(scaled)[0] <= 0.0:
            raise ValueError(
                "excess: at the given concentrations the free energy is not convex, so the mixture "
                "would fall into two phases; weaken the attraction or change the concentrations"
            )
    return Mixture(
        z=np.array([ion.valence for ion in cell.ions]),
        k=k,
        log_v=np.log(np.where(sized, volume / unit, 1.0)),
        inv_v0=unit / v0,
        excess=excess,
        user=cell.excess is not None,
        unit=unit,
        log_c=log_c,
        log_gamma=log_gamma,
        mu=log_c - k * log_gamma + user_mu,
    )


@np.errstate(all="ignore")  # what is not finite ends in an outcome
def solve(cell: Cell, nodes: int, tol: float, throw: bool, order: int) -> xr.Dataset:
    """Return what `solve_equilibrium` returns, for a cell whose ions are no points."""
    ions = mixture(cell)
    _check_reservoir(cell, ions)
    solution = on_placed_mesh(cell, ions, nodes, tol)
    levels = [solution]
    while len(levels) < order // 2 and levels[-1].outcome.ok:
        finer = discretise(cell, grid.halved(levels[-1].problem.x))
        levels.append(_newton(finer, ions, tol, levels[-1]))
    residual, resolution = levels[-1].residual(), solution.layer_resolution()
    outcome = levels[-1].outcome
    if outcome.ok and not _convex_between(cell, levels[-1]):
        outcome = Outcome.NOT_CONVEX
    elif outcome.ok and not resolution <= 1.0:
        outcome = Outcome.UNRESOLVED_LAYER
    elif outcome.ok and not residual <= LARGEST_RESIDUAL:
        outcome = Outcome.STALLED
    if throw and not outcome.ok:
        raise SolverError(
            outcome,
            f"(nodes {nodes}, last step {levels[-1].step:.2g} kB T/e, "
            f"layer_resolution {resolution:.3g}, residual {residual:.2g})",
        )
    observed, error = extrapolate([_observe(cell, s, 2**i) for i, s in enumerate(levels)])
    if len(levels) > 1:
        solution = _at_potential(solution, observed.u)
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
        packing=-np.expm1(solution.log_gamma),
        excess_potential=excess,
    )


def on_placed_mesh(cell: Cell, ions: Mixture, nodes: int, tol: float) -> CrowdedSolution:
    """Solve on a mesh made for the cell, then on meshes placed after the solution."""
    steps = breakpoints(cell) / cell.length
    mesh = first_mesh(cell, nodes, steps)
    p = discretise(cell, mesh * cell.length)
    layers = _layers(p, ions)
    solution = None if layers is None else _newton(p, ions, tol, _fresh(p, ions, layers))
    iterations = 0 if solution is None else solution.iterations
    if solution is None or not solution.outcome.ok:
        solution = _cooled(cell, ions, mesh, steps, tol)
        iterations += solution.iterations
    for _ in range(MESH_PASSES - 1):
        # A coarse mesh may hold Newton's method up where a placed one does not.
        if solution.outcome not in (Outcome.CONVERGED, Outcome.STALLED):
            break
        mesh = follow(cell, solution.problem.nodes, node_density(solution), steps)
        solution = _newton(discretise(cell, mesh * cell.length), ions, tol, solution)
        iterations += solution.iterations
    return dataclasses.replace(solution, iterations=iterations)


def _cooled(cell: Cell, ions: Mixture, mesh: Array, steps: Array, tol: float) -> CrowdedSolution:
    """Solve the cell hot, where nothing is packed, and cool it down with the mesh following.

    The edges of packed layers are as thin as kB T over the field there. At a temperature of
    ``heat`` times the cell's own they are wide, and each stage is a good start for the next.
    """

    def stage(heat: float, near: CrowdedSolution | None) -> CrowdedSolution:
        p = discretise(cell, mesh * cell.length)
        hot = dataclasses.replace(p, a=heat * p.a, r=heat * p.r, v=p.v / heat)
        start = near or _fresh(hot, ions, hot.v[0] + (hot.v[1] - hot.v[0]) * mesh)
        return _newton(hot, ions, tol if heat == 1.0 else 1e-3, start)

    p = discretise(cell, mesh * cell.length)
    charge = np.abs(p.z) @ p.amount + np.abs(p.f) @ p.w
    packed = charge * (1.0 / p.a).sum() / 8.0
    heat = max(1.0, (np.abs(p.v).max() + packed) / 4.0)
    solution = stage(heat, None)
    iterations = solution.iterations
    factor = COOLING
    while solution.outcome.ok and heat > 1.0 and factor > 1.1:
        mesh = follow(cell, solution.problem.nodes, node_density(solution), steps)
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


def _newton(
    p: Discrete, ions: Mixture, tol: float, near: CrowdedSolution
) -> CrowdedSolution:
    """Newton's method from a solution on the same or on another mesh."""
    if p is near.problem:
        u, log_c, log_gamma = near.u.copy(), near.log_c.copy(), near.log_gamma.copy()
    else:
        u = np.interp(p.nodes, near.problem.nodes, near.u)
        log_c = np.array([np.interp(p.nodes, near.problem.nodes, row) for row in near.log_c])
        log_gamma = np.interp(p.nodes, near.problem.nodes, near.log_gamma)
    mu = near.mu.copy()
    for end in (0, -1):
        if p.r[end] == 0.0:
            u[end] = p.v[end]
    c, chi_z, iterations, step, status = steric.equilibrium(
        u, mu, log_c, log_gamma, p.a, p.w, p.f, p.r, p.v, ions.kernel, p.amount, p.closed, tol,
        ITERATION_LIMIT,
    )  # fmt: skip
    return CrowdedSolution(
        p, u, c, int(iterations), float(step), _STATUS[int(status)], ions, mu, log_c, log_gamma,
        chi_z,
    )  # fmt: skip


def _fresh(p: Discrete, ions: Mixture, u: Array) -> CrowdedSolution:
    """A start at the potential ``u``: the given composition, amounts as for points."""
    log_c, log_gamma = ions.start(u.size)
    mu = ions.mu
    if p.closed:
        exponent = np.log(p.w) - np.outer(p.z, u)
        mu = mu + np.log(p.amount) - np.logaddexp.reduce(exponent, axis=1) - ions.log_c
    c = np.exp(log_c)
    return CrowdedSolution(
        p, u, c, 0, np.inf, Outcome.EXHAUSTED, ions, mu, log_c, log_gamma, c * ions.z[:, None]
    )


def _at_potential(solution: CrowdedSolution, u: Array) -> CrowdedSolution:
    """The ions of a solution at another potential; a closed cell's amounts are kept exactly."""
    p, ions = solution.problem, solution.mixture
    mu, log_c, log_gamma = solution.mu.copy(), solution.log_c.copy(), solution.log_gamma.copy()
    if p.closed:
        c, chi_z = np.full_like(log_c, np.nan), np.full_like(log_c, np.nan)
        steric.settle(
            u, mu, p.w, ions.kernel, p.amount,
            (log_c, log_gamma, c, chi_z, np.empty((p.z.size, p.z.size))), 1e-13,
        )  # fmt: skip
        scale = p.amount / (c @ p.w)
        c *= scale[:, None]
        log_c += np.log(scale)[:, None]
    else:
        c, chi_z = ions.state(u, mu, log_c, log_gamma)
    return dataclasses.replace(
        solution, u=u, c=c, mu=mu, log_c=log_c, log_gamma=log_gamma, chi_z=chi_z
    )


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


def _half_space(
    wall: float, epsilon: float, ions: Mixture, distance: Array
) -> tuple[Array, float]:
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
