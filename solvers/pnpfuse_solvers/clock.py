"""The state of the ions on one mesh, moved forward in time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pnpfuse_solvers import initial, integrator, kernels, rosenbrock
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Discrete, discretise
from pnpfuse_solvers.elimination import System
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.ledger import Ledger, ledger
from pnpfuse_solvers.outcome import Outcome
from pnpfuse_solvers.program import SHARES, Program

ITERATION_LIMIT = 200
STEP_LIMIT = 200_000
TOLERANCE = 1e-9
# Numbers in the states that are kept at a time to read energies and certificates off them.
ROOM = 200_000
_TABLE = (
    rosenbrock.GAMMA, rosenbrock.ALPHA, rosenbrock.MIXED, rosenbrock.SHIFT, rosenbrock.DENSE,
)  # fmt: skip

# Values of a parabola at 0, 1/2 and 1 to the powers 1, 2, 3 of its integral from 0.
_INTEGRAL = np.array([[1.0, 0.0, 0.0], [-1.5, 2.0, -0.5], [2 / 3, -4 / 3, 2 / 3]])


class Clock:
    """The state of the ions on one mesh, moved forward in time.

    Time unit: length^2 / largest D; the other units are those of ``Discrete``.

    Parameters
    ----------
    cell : Cell
    x : array (N,)
        Nodes [m].
    program : Program
    start : str or xarray.Dataset
        See `solve_transient`.
    times : array (T,)
        When results are wanted [s].

    Attributes
    ----------
    reached : int
        Number of times that were reached.
    c : array (T, S, N)
        Concentrations at the times that were reached, NaN at the others.
    booked : array (2, T)
        Free energy turned to heat since t = 0, and what moving potentials took out of it.
    energy_rise, residual, resolution, mass_error, smallest : float
        Certificates: the worst of all steps.
    """

    def __init__(
        self, cell: Cell, x: Array, program: Program, start: str | xr.Dataset, times: Array
    ):
        p: Discrete = discretise(cell, x)
        d = np.array([ion.diffusivity for ion in cell.ions])
        self.p, self.program = p, program
        self.unit = cell.length**2 / d.max()  # s
        self.system = System(p.a, p.h, p.w, p.f, p.r, p.z, d / d.max())
        self.times = times / self.unit
        self.v = program.at(times)
        self.t = 0.0
        self.steps = self.tried = self.reached = 0
        self.energy_rise = self.residual = self.resolution = self.mass_error = 0.0
        self.smallest = np.inf
        count = len(times)
        self.c = np.full((count, p.z.size, p.x.size), np.nan)
        self.booked = np.full((2, count), np.nan)
        # A small part of the Debye relaxation time, the fastest thing after a switch.
        self.first = 1e-4 * cell.mean_permittivity / float((p.z**2 * self.system.d) @ p.amount)
        self.y = np.empty((p.z.size + 1, p.x.size))
        self.y[1:] = initial.concentrations(start, cell, p)
        self.sums = np.zeros((2, 1))
        self.now = self._potential_of(program.at(np.zeros(1)))
        self.origin = self.now.energy[0]

    def adaptive(self, rtol: float) -> Outcome:
        """Steps of order 5 to the last of the times, their length set by the embedded error."""
        end = float(self.times[-1])
        if self.times[0] == 0.0:
            self.c[0], self.booked[:, 0], self.reached = self.y[1:], 0.0, 1
        for low, high in self.program.jumps:
            outcome = self._run_to(low / self.unit, rtol)
            if not outcome.ok:
                return outcome
            self.t = high / self.unit
            before = self.now.energy[0]
            self.now = self._potential_of(self.program.at(np.array([high])))
            self.sums[1] -= self.now.energy[0] - before  # what the switch itself did
        return self._run_to(end, rtol)

    def _run_to(self, stop: float, rtol: float) -> Outcome:
        p, moves = self.p, self.program.moves
        size = max(4, min(64, ROOM // self.y.size))
        passed = np.empty(size)
        middles, ends = np.empty((size, *self.y.shape)), np.empty((size, *self.y.shape))
        longest = self.times[-1] / SHARES if moves else np.inf
        clock = np.array([self.t, stop, self.first, longest, 0.0])
        v, slopes = np.tile(self.program.at(np.zeros(1)), (8, 1)), np.zeros((3, 2))
        while self.tried < STEP_LIMIT:
            limit = min(4 * size, STEP_LIMIT - self.tried)
            if moves:
                tau = integrator.step_of(clock)[2]
                v = self.program.at((self.t + tau * rosenbrock.NODES) * self.unit)
                slopes, limit = rosenbrock.SLOPES @ v, 1
            clock[4] = 1e-14 * max(self.t, self.first)
            steps, attempts, reached, status = integrator.march(
                self.y, clock, v, slopes[0], rtol, p.amount, self.system, _TABLE,
                self.times[self.reached:], self.c[self.reached:], passed, middles, ends, limit,
            )  # fmt: skip
            self.tried += attempts
            if steps:
                self._account(passed[:steps], middles[:steps], ends[:steps], v, slopes, reached)
            if status != integrator.GOING:
                return Outcome.CONVERGED if status == integrator.DONE else Outcome.EXHAUSTED
        return Outcome.EXHAUSTED

    def _account(
        self, passed: Array, middles: Array, ends: Array, v: Array, slopes: Array, reached: int
    ) -> None:
        """Book the energies of steps to ``passed`` (P,), and those at the times between."""
        now = self._certify(ends, v[-1:])
        tau = np.diff(passed, prepend=self.t)
        energy = np.append(self.now.energy[-1], now.energy)
        if (v == v[0]).all():
            self.energy_rise = max(self.energy_rise, float(np.diff(energy).max()))
        halfway = ledger(middles[:, 0], middles[:, 1:], v[-1:], self.p.amount, self.system)
        lost = np.append(self.now.dissipation[-1], now.dissipation)
        rates = np.zeros((2, 3, tau.size))  # at 0, 1/2 and 1 of each step
        rates[0] = tau * np.stack([lost[:-1], halfway.dissipation, lost[1:]])
        if slopes.any():
            charge = [self.now.charge[-1], halfway.charge[0], now.charge[-1]]
            rates[1, :, 0] = (np.array(charge) * slopes).sum(axis=1)
        cubic = _INTEGRAL @ rates
        sums = self.sums + np.cumsum(cubic.sum(axis=1), axis=1)
        there = slice(self.reached, self.reached + reached)
        at = self.times[there]
        j = np.minimum(np.searchsorted(passed, at), tau.size - 1)
        share = (at - (passed - tau)[j]) / tau[j]
        part = share[:, None] ** np.array([1, 2, 3])
        begun = np.hstack([self.sums, sums])[:, j]
        self.booked[:, there] = begun + np.einsum("bkp,pk->bp", cubic[:, :, j], part)
        self.sums = sums[:, -1:]
        self.reached += reached
        self.steps += tau.size
        self.now, self.t = now, float(passed[-1])

    def backward_euler(self) -> Outcome:
        """One step from each of the times to the next: amounts, signs and energy are certain."""
        times = np.append(0.0, self.times)
        ends = np.full((len(self.times), *self.y.shape), np.nan)
        done, self.tried = integrator.euler(
            self.y, times, self.v, self.system, ends, TOLERANCE, ITERATION_LIMIT
        )
        if done:
            tau = np.diff(times)[:done]
            now = self._certify(ends[:done], self.v[:done])
            energy = np.append(self.now.energy, now.energy)
            v = np.vstack([self.program.at(np.zeros(1)), self.v[:done]])
            fixed = (np.diff(v, axis=0) == 0.0).all(axis=1)
            self.energy_rise = float(np.diff(energy)[fixed].max(initial=0.0))
            charge = np.vstack([self.now.charge, now.charge])
            work = (0.5 * (charge[:-1] + charge[1:]) * np.diff(v, axis=0)).sum(axis=1)
            self.booked[:, :done] = np.cumsum([tau * now.dissipation, work], axis=1)
            self.c[:done] = ends[:done, 1:]
            self.steps = int(np.count_nonzero(tau))
        self.reached = done
        self.t = float(times[done])
        return Outcome.CONVERGED if done == len(self.times) else Outcome.EXHAUSTED

    def states(self) -> tuple[Array, Ledger]:
        """Potentials (R, N) and energies at the times that were reached."""
        c, v = self.c[: self.reached], self.v[: self.reached]
        u = poisson(self.p, c, v)
        return u, ledger(u, c, v, self.p.amount, self.system)

    def _potential_of(self, v: Array) -> Ledger:
        """Take the potential that belongs to the concentrations between electrodes at ``v``."""
        self.y[0] = poisson(self.p, self.y[None, 1:], v)[0]
        return self._certify(self.y[None], v)

    def _certify(self, states: Array, v: Array) -> Ledger:
        """Return the energies of ``states`` (P, K, N) and keep the worst of their certificates."""
        found = ledger(states[:, 0], states[:, 1:], v, self.p.amount, self.system)
        self.residual = max(self.residual, found.residual)
        self.resolution = max(self.resolution, found.resolution)
        self.mass_error = max(self.mass_error, found.mass_error)
        self.smallest = min(self.smallest, found.smallest)
        return found


def charge_of(c: Array, p: Discrete) -> Array:
    """Charge density (T, N) of ions (T, S, N) and fixed charge."""
    charge = np.einsum("s,tsn->tn", p.z, c)
    charge += p.f
    return charge


def poisson(p: Discrete, c: Array, v: Array) -> Array:
    """Potentials (T, N) of concentrations (T, S, N) between electrodes at ``v`` (T, 2)."""
    off, diagonal = -p.a.copy(), np.zeros(p.x.size)
    diagonal[:-1] += p.a
    diagonal[1:] += p.a
    u = charge_of(c, p)
    u *= p.w
    for end, node, edge in ((0, 0, 0), (1, -1, -1)):
        if p.r[end] > 0.0:
            diagonal[node] += p.r[end]
            u[:, node] += p.r[end] * v[:, end]
        else:
            diagonal[node], u[:, node] = 1.0, v[:, end]
            u[:, 1 if end == 0 else -2] += p.a[edge] * v[:, end]
            off[edge] = 0.0
    kernels.thomas(off, diagonal, u)
    return u
