"""Ions that are no points: what the kernels of ``steric`` need of a cell, and their solutions."""

from __future__ import annotations

import dataclasses

import numpy as np
from numba.core.ccallback import CFunc

from pnpfuse_solvers import steric
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import ITERATION_LIMIT, Discrete, Solution, discretise
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome

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


def newton(p: Discrete, ions: Mixture, tol: float, near: CrowdedSolution) -> CrowdedSolution:
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


def fresh(p: Discrete, ions: Mixture, u: Array) -> CrowdedSolution:
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


def at_potential(solution: CrowdedSolution, u: Array) -> CrowdedSolution:
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
