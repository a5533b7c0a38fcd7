"""Ions in time between blocking electrodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid
from pnpfuse_solvers.arguments import check_nodes, finite_number
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.clock import Clock, Voltage
from pnpfuse_solvers.dataset import build, neutrality_note
from pnpfuse_solvers.equilibrium import on_placed_mesh
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.placement import breakpoints

METHODS = ("adaptive", "backward_euler")
LARGEST_RESIDUAL = 1e-6
# A program of the voltage is looked at this often; steps are at most this share of the whole time.
SAMPLES, SHARES = 2049, 200


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
    clock = Clock(cell, _mesh(cell, volts, samples, nodes), volts, rtol)
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


def _finish(
    cell: Cell, clock: Clock, times: Array, states: list[dict[str, Any]], outcome: Outcome,
    throw: bool, method: str, rtol: float,
) -> xr.Dataset:  # fmt: skip
    p = clock.p
    if clock.steps == 0:
        clock.certify()
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
    check_cell(cell, "solve_transient")
    if cell.contact != "closed":
        raise ValueError(f"cell: got contact {cell.contact!r}; electrodes that block need 'closed'")
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}; give one of {', '.join(METHODS)}")
    check_nodes(nodes)


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
