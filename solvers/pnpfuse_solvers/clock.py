"""The state of the ions, moved forward in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse_solvers import kernels, transport
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Discrete, Solution, discretise
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.observables import observe
from pnpfuse_solvers.outcome import Outcome

Voltage = Callable[[float], Sequence[float]]
ITERATION_LIMIT = 40
STEP_LIMIT = 200_000
# Amounts of an earlier result, interpolated to another mesh, may differ by this much.
SAME_AMOUNT = 0.02
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


class Clock:
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
        self.u = poisson(p, self.c, self.v(0.0))

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
        self.certify()

    def certify(self) -> None:
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


def poisson(p: Discrete, c: Array, v: Array) -> Array:
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
