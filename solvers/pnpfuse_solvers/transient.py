"""Ions in time between blocking electrodes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid, kernels, transport
from pnpfuse_solvers.cell import Cell, finite_number
from pnpfuse_solvers.dataset import build, neutrality_note
from pnpfuse_solvers.discrete import Discrete, Solution, discretise
from pnpfuse_solvers.equilibrium import on_placed_mesh
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.observables import observe
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.placement import breakpoints

Voltage = Callable[[float], Sequence[float]]
METHODS = ("adaptive", "backward_euler")
ITERATION_LIMIT = 40
STEP_LIMIT = 200_000
LARGEST_RESIDUAL = 1e-6
# Amounts of an earlier result, interpolated to another mesh, may differ by this much.
SAME_AMOUNT = 0.02
# A program of the voltage is looked at this often; steps are at most this share of the whole time.
SAMPLES, SHARES = 2049, 200
# SDIRK4 of Hairer and Wanner (Solving Ordinary Differential Equations II, Table 6.5): order 4,
# L-stable, stiffly accurate, with an embedded method of order 3.
_TABLE = np.array(
    [
        [1 / 4, 0, 0, 0, 0],
        [1 / 2, 1 / 4, 0, 0, 0],
        [17 / 50, -1 / 25, 1 / 4, 0, 0],
        [371 / 1360, -137 / 2720, 15 / 544, 1 / 4, 0],
        [25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4],
    ]
)
_EMBEDDED = np.array([59 / 48, -17 / 96, 225 / 32, -85 / 12, 0.0])
_EULER = np.ones((1, 1))


def solve_transient(
    cell: Cell,
    times: Sequence[float],
    *,
    initial: str | xr.Dataset = "uniform",
    method: str = "adaptive",
    rtol: float = 1e-6,
    nodes: int = 401,
    throw: bool = True,
    potential: Voltage | None = None,
) -> xr.Dataset:
    """Return how the ions of a closed cell move after its electrodes are switched on.

    Nothing passes the electrodes, at the level of the fluxes, so that amounts are kept exactly.

    Parameters
    ----------
    cell : Cell
        With contact "closed"; its potential is applied from t = 0 on.
    times : sequence of float
        Times [s], increasing, the first at least 0; results are given at these.
    initial : "uniform" or xarray.Dataset
        Concentrations at t = 0: the given ones everywhere, or those of an earlier result on the
        same ions and length (of a transient its last time).
    method : {"adaptive", "backward_euler"}
        "adaptive" is an L-stable Runge-Kutta method of order 4 with error control.
        "backward_euler" takes one step from each time to the next, of order 1: it keeps amounts
        and signs, and at fixed potentials its free energy never rises.
    rtol : float
        Error that "adaptive" allows a step, relative to concentrations.
    nodes : int
        Number of mesh nodes.
    throw : bool
        Raise where the result is not trustworthy; False hands it back with its outcome, NaN from
        the time of failure on.
    potential : callable or None
        t [s] -> (left, right) [V], instead of the cell's. "adaptive" stops at its jumps; what lasts
        shorter than 1/2048 of the whole time is seen only at the times that are asked for.

    Returns
    -------
    xarray.Dataset
        Over (time, species, x): potential, concentration, charge_density; over time: free_energy
        [J/m^2], dissipation [W/m^2], ion_count (species) [1/m^2], electrode_charge (electrode)
        [C/m^2], electrode_potential; certificates residual, mass_error, minimum_concentration,
        energy_rise, layer_resolution, iterations, steps.

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.
    """
    at = _checked_times(times)
    _check(cell, method, nodes)
    rtol = finite_number("rtol", rtol)
    if not 1e-12 <= rtol <= 1e-1:
        raise ValueError(f"rtol: got {rtol:g}; give a value from 1e-12 to 0.1")
    volts = _program(cell, potential)
    samples = np.union1d(at, np.linspace(0.0, at[-1], SAMPLES)) if potential else np.zeros(1)
    clock = _Clock(cell, _mesh(cell, volts, samples, nodes), volts, rtol)
    if potential:
        clock.longest = at[-1] / clock.unit / SHARES
    jumps = _jumps(volts, samples)
    clock.start(initial)
    states, outcome = [], Outcome.CONVERGED
    for time in at:
        if method == "backward_euler":
            outcome = clock.euler_to(time)
        else:
            for stop in [*jumps[(jumps > clock.t * clock.unit) & (jumps < time)], time]:
                outcome = clock.run_to(stop)
                if not outcome.ok:
                    break
        if not outcome.ok:
            break
        states.append(clock.snapshot())
    return _finish(cell, clock, at, states, outcome, throw, method, rtol)


class _Clock:
    """The state of the ions, moved forward in time. Time unit: length^2 / largest D."""

    def __init__(self, cell: Cell, x: Array, volts: Voltage, rtol: float):
        self.cell, self.volts, self.rtol = cell, volts, rtol
        self.p: Discrete = discretise(cell, x)
        d = np.array([ion.diffusivity for ion in cell.ions])
        self.d = d / d.max()
        self.unit = cell.length**2 / d.max()  # s
        self.h = np.diff(self.p.nodes)
        self.t = 0.0
        self.tau = self.first = 0.0  # the next step to try, and the first one tried
        self.longest = np.inf
        self.iterations = self.steps = self.tried = 0
        # The worst of all steps, not of the last one.
        self.energy_rise = self.residual = self.resolution = self.mass_error = 0.0
        self.smallest = np.inf
        self.energy = np.nan

    def start(self, initial: str | xr.Dataset) -> None:
        """Take the concentrations at t = 0, with the potential that belongs to them."""
        p = self.p
        c = np.tile(p.amount[:, None], (1, p.x.size))
        if not isinstance(initial, str):
            c = _interpolated(initial, self.cell, p.x) * p.unit
            found = (c @ p.w) / p.amount
            if np.abs(found - 1.0).max() > SAME_AMOUNT:
                raise ValueError(
                    f"initial: got {found.round(4).tolist()} times the cell's amounts of "
                    f"{[ion.name for ion in self.cell.ions]}; give a result of the same amounts"
                )
            c /= found[:, None]  # another mesh counts a little differently; amounts must not
        elif initial != "uniform":
            raise ValueError(f"initial: got {initial!r}; give 'uniform' or an earlier result")
        self.c = np.ascontiguousarray(c)
        self.u = _poisson(p, self.c, self.v(0.0))

    def v(self, t: float) -> Array:
        """Electrode potentials (2,) in kB T/e at a time in clock units."""
        return np.array(self.volts(t * self.unit)) / self.cell.thermal_voltage

    def _step(self, tau: float, table: Array, embedded: Array) -> tuple[Any, Array, Array, Array]:
        p = self.p
        u, c = self.u.copy(), self.c.copy()
        v = np.array([self.v(self.t + tau * row.sum()) for row in table])
        with np.errstate(all="ignore"):
            error, iterations, status = transport.diagonal_step(
                u, c, tau, p.a, self.h, p.w, p.f, p.r, v, p.z, self.d, table, embedded,
                1e-9, ITERATION_LIMIT,
            )  # fmt: skip
        self.iterations += int(iterations)
        return status, u, c, error

    def _accept(self, tau: float, u: Array, c: Array) -> None:
        constant = np.array_equal(self.v(self.t), self.v(self.t + tau))
        before = self.free_energy() if np.isnan(self.energy) or not constant else self.energy
        self.u, self.c, self.t = u, c, self.t + tau
        self.steps += 1
        self.energy = self.free_energy()
        if constant:
            self.energy_rise = max(self.energy_rise, self.energy - before)
        self._certify()

    def _certify(self) -> None:
        p, now = self.p, self.solution()
        self.residual = max(self.residual, now.residual())
        self.resolution = max(self.resolution, now.layer_resolution())
        self.mass_error = max(self.mass_error, float(np.abs(self.c @ p.w / p.amount - 1.0).max()))
        self.smallest = min(self.smallest, float(self.c.min()))

    def euler_to(self, time: float) -> Outcome:
        """One step of backward Euler."""
        tau = time / self.unit - self.t
        if tau <= 0.0:
            return Outcome.CONVERGED
        status, u, c, _ = self._step(tau, _EULER, _EULER[0])
        if status != transport.CONVERGED:
            return Outcome.EXHAUSTED
        self._accept(tau, u, c)
        return Outcome.CONVERGED

    def run_to(self, time: float) -> Outcome:
        """Steps of the fourth order, their length set by the embedded error."""
        end = time / self.unit
        p = self.p
        if self.tau == 0.0:
            # A hundredth of the Debye relaxation time: the fastest thing after a switch.
            fastest = float(((p.z**2 * self.d) @ p.amount) / self.cell.mean_permittivity)
            self.tau = self.first = 1e-2 / fastest
        while end - self.t > 1e-12 * end:
            self.tried += 1
            if self.tried > STEP_LIMIT or self.tau < 1e-14 * max(self.t, self.first):
                return Outcome.EXHAUSTED
            left, wanted = end - self.t, min(self.tau, self.longest)
            # The last two steps to a time share what is left of it, lest the last be a sliver.
            tau = left if left <= wanted else min(wanted, 0.5 * left)
            status, u, c, error = self._step(tau, _TABLE, _EMBEDDED)
            if status != transport.CONVERGED:
                self.tau = 0.25 * tau
                continue
            scale = self.rtol * (np.maximum(c, self.c) + 1e-3 * p.amount[:, None])
            wrong = float(np.sqrt((((error / scale) ** 2) @ p.w).max())) + 1e-10
            if wrong > 1.0:
                self.tau = tau * max(0.2, 0.9 * wrong**-0.25)
                continue
            self._accept(tau, u, c)
            # A step cut short by a time tells that longer ones will do, not that shorter must.
            self.tau = max(self.tau, tau * min(4.0, 0.9 * wrong**-0.25))
        return Outcome.CONVERGED

    def solution(self) -> Solution:
        """The state as a Solution at the electrodes' present potentials."""
        p = dataclasses.replace(self.p, v=self.v(self.t))
        return Solution(p, self.u, self.c, self.iterations, 0.0, Outcome.CONVERGED)

    def free_energy(self) -> float:
        """Free energy less the work of the electrodes at their present potentials [J/m^2]."""
        return observe(self._cell_now(), self.solution()).free_energy

    def _cell_now(self) -> Cell:
        left, right = self.volts(self.t * self.unit)
        return self.cell.replace(potential=(float(left), float(right)))

    def dissipation(self) -> float:
        """kB T sum of flux times drop of chemical potential over the edges [W/m^2]."""
        p = self.p
        flux = np.empty((p.z.size, p.x.size - 1))
        transport.fluxes(self.u, self.c, self.h, p.z, self.d, flux)
        mu = np.log(self.c) + p.z[:, None] * self.u
        thermal = self.cell.constants.boltzmann * self.cell.temperature
        per_area = thermal * self.cell.length / p.unit / self.unit
        return float(per_area * -(flux * np.diff(mu, axis=1)).sum())

    def snapshot(self) -> dict[str, Any]:
        """What is reported of one time, in SI units."""
        p, cell = self.p, self._cell_now()
        observed = observe(cell, self.solution())
        return {
            "potential": self.u * cell.thermal_voltage,
            "reduced_potential": self.u.copy(),
            "concentration": self.c / p.unit,
            "charge_density": cell.constants.charge * (p.z @ self.c + p.f) / p.unit,
            "electric_field": observed.field,
            "free_energy": observed.free_energy,
            "dissipation": self.dissipation(),
            "ion_count": (self.c @ p.w) / p.unit * cell.length,
            "electrode_charge": observed.surface_charge,
            "electrode_potential": np.array(cell.potential),
        }


def _finish(
    cell: Cell, clock: _Clock, times: Array, states: list[dict[str, Any]], outcome: Outcome,
    throw: bool, method: str, rtol: float,
) -> xr.Dataset:  # fmt: skip
    p = clock.p
    if clock.steps == 0:
        clock._certify()
    resolution = clock.resolution
    if outcome.ok and not resolution <= 1.0:
        outcome = Outcome.UNRESOLVED_LAYER
    elif outcome.ok and not clock.residual <= LARGEST_RESIDUAL:
        outcome = Outcome.STALLED
    if throw and not outcome.ok:
        raise SolverError(
            outcome,
            f"(at t = {clock.t * clock.unit:.4g} s of {times[-1]:.4g} s after {clock.steps} steps, "
            f"layer_resolution {resolution:.3g})",
        )
    blank = {name: np.full(np.shape(value), np.nan) for name, value in clock.snapshot().items()}
    rows = states + [blank] * (len(times) - len(states))
    return build(
        {
            "time": times,
            "x": p.x,
            "species": np.array([ion.name for ion in cell.ions]),
            "electrode": np.array(["left", "right"]),
            "valence": p.z,
            "length": cell.length,
            "debye_length": cell.debye_length,
            "length_ratio": cell.length_ratio,
            **{name: np.array([row[name] for row in rows]) for name in blank},
            "residual": clock.residual,
            "mass_error": clock.mass_error,
            "minimum_concentration": clock.smallest / p.unit,
            "energy_rise": clock.energy_rise,
            "layer_resolution": resolution,
            "iterations": clock.iterations,
            "steps": clock.steps,
        },
        {
            "title": "ions of a closed cell in time",
            "outcome": outcome.value,
            "message": outcome.message,
            "notes": neutrality_note(cell),
            "method": method,
            "rtol": rtol,
            "nodes": p.x.size,
            "parameters": json.dumps(cell.describe()),
        },
        over_time=True,
    )


def _check(cell: Cell, method: str, nodes: int) -> None:
    if not isinstance(cell, Cell):
        raise ValueError(f"cell: got {type(cell).__name__}; give a Cell")
    if cell.contact != "closed":
        raise ValueError(f"cell: got contact {cell.contact!r}; electrodes that block need 'closed'")
    for ion in cell.ions:
        if ion.diameter > 0.0:
            raise ValueError(
                f"diameter of ion {ion.name!r}: got {ion.diameter:g} m; solve_transient treats "
                "ions as points, give 0"
            )
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}; give one of {', '.join(METHODS)}")
    if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 11:
        raise ValueError(f"nodes: got {nodes!r}; give a whole number of at least 11")


def _checked_times(times: Sequence[float]) -> Array:
    try:
        array = np.asarray(times)
        numbers = array.dtype.kind in "iuf"
        array = array.astype(float) if numbers else np.array(np.nan)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if (
        array.ndim != 1 or array.size == 0 or not np.isfinite(array).all() or array[-1] > 1e100
        or array[0] < 0.0 or (np.diff(array) <= 0.0).any()
    ):  # fmt: skip
        raise ValueError(f"times: got {times!r:.80}; give increasing times in s, from 0 on")
    return array


def _program(cell: Cell, potential: Voltage | None) -> Voltage:
    if potential is None:
        return lambda t: cell.potential
    if not callable(potential):
        raise ValueError(f"potential: got {potential!r}; give a function of t [s], or None")

    def checked(t: float) -> tuple[float, float]:
        try:
            left, right = potential(t)
        except Exception as error:  # whatever a user's function raises
            raise ValueError(
                f"potential: the function failed at t = {t:g} s ({error!r:.60}); give one that "
                "returns (left, right) in V"
            ) from error
        name = f"potential at t = {t:g} s"
        return finite_number(name, left, "V"), finite_number(name, right, "V")

    return checked


def _jumps(volts: Voltage, samples: Array) -> Array:
    """Times just before the voltage jumps, found by halving like the steps of a profile."""
    found = []
    values = np.array([volts(t) for t in samples])
    differences = np.abs(np.diff(values, axis=0)).max(axis=1, initial=0.0)
    for i in np.flatnonzero(differences > 1e-3 * max(np.ptp(values), 1e-300)):
        low, high = samples[i], samples[i + 1]
        before, after = values[i], values[i + 1]
        for _ in range(36):
            middle = 0.5 * (low + high)
            there = np.array(volts(middle))
            if np.abs(there - before).max() >= np.abs(after - there).max():
                high, after = middle, there
            else:
                low, before = middle, there
        if np.abs(after - before).max() > 0.3 * differences[i]:
            found.append(low)
    return np.array(found)


def _mesh(cell: Cell, volts: Voltage, samples: Array, nodes: int) -> Array:
    """Half of the nodes where the equilibrium at the largest voltage wants them, half evenly."""
    left, right = max((volts(t) for t in samples), key=lambda pair: abs(pair[1] - pair[0]))
    ends = cell.replace(potential=(float(left), float(right)))
    solution = on_placed_mesh(ends, nodes, 1e-8)
    x = solution.problem.nodes
    density = 0.5 / (np.diff(x) * (nodes - 1)) + 0.5
    mesh = grid.snapped(grid.place(x, density, nodes), breakpoints(cell) / cell.length)
    return mesh * cell.length


def _interpolated(initial: xr.Dataset, cell: Cell, x: Array) -> Array:
    """Concentrations (S, N) [1/m^3] of an earlier result at the positions ``x`` [m]."""
    names = [ion.name for ion in cell.ions]
    try:
        if not isinstance(initial, xr.Dataset):
            raise TypeError(f"it is a {type(initial).__name__}, not a Dataset")
        given = initial[["concentration", "valence"]]
        given = given.isel(time=-1) if "time" in given.dims else given
        if sorted(given["species"].values) != sorted(names):
            raise ValueError(f"it has the ions {given['species'].values.tolist()}")
        given = given.sel(species=names)
        if not np.allclose(given["valence"], [ion.valence for ion in cell.ions]):
            raise ValueError(f"its ions have the valences {given['valence'].values.tolist()}")
        c = given["concentration"].transpose("species", "x").values
        at = initial["x"].values
        if abs(at[0]) > 1e-9 * cell.length or abs(at[-1] - cell.length) > 1e-9 * cell.length:
            raise ValueError(f"it goes from {at[0]:g} to {at[-1]:g} m")
        if c.dtype.kind != "f" or not np.isfinite(c).all() or not (c > 0.0).all():
            raise ValueError("it has concentrations that are not finite and above 0")
    except Exception as error:  # whatever a Dataset of another making brings
        raise ValueError(
            f"initial: cannot take concentrations from it ({error!r:.120}); give a result for "
            f"{names} in a cell of {cell.length:g} m"
        ) from error
    return np.exp([np.interp(x, at, row) for row in np.log(c)])


def _poisson(p: Discrete, c: Array, v: Array) -> Array:
    """Potential (N,) of given concentrations."""
    off, diagonal = -p.a.copy(), np.zeros(p.x.size)
    diagonal[:-1] += p.a
    diagonal[1:] += p.a
    right = p.w * (p.z @ c + p.f)
    for end, node, edge in ((0, 0, 0), (1, -1, -1)):
        if p.r[end] > 0.0:
            diagonal[node] += p.r[end]
            right[node] += p.r[end] * v[end]
        else:
            diagonal[node], right[node] = 1.0, v[end]
            right[1 if end == 0 else -2] += p.a[edge] * v[end]
            off[edge] = 0.0
    u = right[None].copy()
    kernels.thomas(off, diagonal, u)
    return u[0]
