"""Ions in time between blocking electrodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid
from pnpfuse_solvers.arguments import check_nodes, finite_number
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.clock import Clock, charge_of
from pnpfuse_solvers.dataset import build, neutrality_note
from pnpfuse_solvers.equilibrium import on_placed_mesh
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.history import History, extrapolated, history
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.placement import breakpoints
from pnpfuse_solvers.program import Program, Voltage

METHODS = ("adaptive", "backward_euler")
ORDERS = (2, 4)
LARGEST_RESIDUAL = 1e-6
# Nodes of the coarser of two meshes.
FEWEST_NODES = 11


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
    order: int = 4,
) -> xr.Dataset:
    """Return how the ions of a closed cell move after its electrodes are switched on.

    Nothing passes the electrodes, at the level of the fluxes, so that amounts are kept exactly.
    Scharfetter-Gummel fluxes on a mesh that is made for the largest voltage.

    Parameters
    ----------
    cell : Cell
        With contact "closed"; its potential is applied from t = 0 on.
    times : sequence of float
        Times [s], increasing, the first at least 0; results are given at these. They cost
        "adaptive" nothing: it steps over them and interpolates to its own order.
    initial : "uniform" or xarray.Dataset
        Concentrations at t = 0: the given ones everywhere, or those of an earlier result on the
        same ions and length (of a transient its last time).
    method : {"adaptive", "backward_euler"}
        "adaptive" is Rodas5P, an L-stable Rosenbrock method of order 5 with error control.
        "backward_euler" takes one step from each time to the next, of order 1 in time and 2 in
        space: it keeps amounts and signs, and at fixed potentials its free energy never rises.
    rtol : float
        Error that "adaptive" allows a step, relative to concentrations (to a thousandth of their
        mean where they are smaller), as root mean square over the cell.
    nodes : int
        Number of mesh nodes.
    throw : bool
        Raise where the result is not trustworthy; False hands it back with its outcome, NaN from
        the time of failure on.
    potential : callable or None
        t [s] -> (left, right) [V], instead of the cell's. "adaptive" stops at its jumps; what lasts
        shorter than 1/2048 of the whole time is seen only at the times that are asked for.
    order : {2, 4}
        Order in space of "adaptive". At 4 the run is repeated on every other node of an odd mesh
        (for an even one: with every interval halved) and extrapolated (Richardson): potential,
        field, charges and energies to order 4, concentrations up to a common factor a species that
        keeps their amounts. At 2 every identity of the discrete equations holds to rounding.

    Returns
    -------
    xarray.Dataset
        Over (time, species, x): potential, concentration, charge_density, electric_field; over
        time: free_energy [J/m^2], dissipation [W/m^2], dissipated_energy [J/m^2] since t = 0,
        ion_count (species) [1/m^2], electrode_charge (electrode) [C/m^2], electrode_potential,
        energy_balance [J/m^2] (what is left of free energy gained, plus dissipated, less the work
        of moving electrodes: 0 but for the integration in time) and error_estimate [kB T/e] (what
        the extrapolation moved the potential, more than is left in it; NaN at order 2);
        certificates residual, mass_error, minimum_concentration, energy_rise, layer_resolution,
        iterations (linear systems that were factorised), steps.

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.

    Examples
    --------
    >>> cell = Cell.dimensionless(20, voltage=1)
    >>> charging = solve_transient(cell, [1e-6, 1e-5, 1e-4])
    >>> bool(charging.electrode_charge[-1, 0] > charging.electrode_charge[0, 0])
    True
    """
    at = _checked_times(times)
    _check(cell, method, nodes, order)
    rtol = finite_number("rtol", rtol)
    if not 1e-12 <= rtol <= 1e-1:
        raise ValueError(f"rtol: got {rtol:g}; give a value from 1e-12 to 0.1")
    program = Program(cell, potential, at)
    extrapolate = method == "adaptive" and order == 4
    # An odd mesh is the finer of two levels, an even one the coarser.
    finest = not extrapolate or (nodes % 2 == 1 and nodes >= 2 * FEWEST_NODES - 1)
    x = _mesh(cell, program, initial, nodes // 2 + 1 if extrapolate and finest else nodes)
    levels = [Clock(cell, mesh, program, initial, at) for mesh in _nested(x, extrapolate)]
    outcomes = [
        level.adaptive(rtol) if method == "adaptive" else level.backward_euler() for level in levels
    ]
    outcome = next((found for found in outcomes if not found.ok), Outcome.CONVERGED)
    shown = levels[0 if finest else -1]
    if outcome.ok and not all(np.isfinite(level.residual + level.smallest) for level in levels):
        outcome = Outcome.NOT_FINITE
    if outcome.ok and not shown.resolution <= 1.0:
        outcome = Outcome.UNRESOLVED_LAYER
    elif outcome.ok and not max(level.residual for level in levels) <= LARGEST_RESIDUAL:
        outcome = Outcome.STALLED
    if throw and not outcome.ok:
        slowest = min(levels, key=lambda level: level.t)
        raise SolverError(
            outcome,
            f"(at t = {slowest.t * slowest.unit:.4g} s of {at[-1]:.4g} s after {slowest.steps} "
            f"steps, layer_resolution {shown.resolution:.3g})",
        )
    found = [history(level) for level in levels]
    if extrapolate:
        result, error = extrapolated(found[0], found[1], finest)
    else:
        result, error = found[0], np.full(len(found[0].u), np.nan)
    return _dataset(
        cell, levels, shown, result, error, at, outcome,
        {"method": method, "rtol": rtol, "order": 4 if extrapolate else 2},
    )  # fmt: skip


def _nested(x: Array, extrapolate: bool) -> list[Array]:
    return [grid.halved(x), x] if extrapolate else [x]


def _dataset(
    cell: Cell, levels: Sequence[Clock], shown: Clock, found: History, error: Array, times: Array,
    outcome: Outcome, attrs: Mapping[str, Any],
) -> xr.Dataset:  # fmt: skip
    p, k, volt = shown.p, cell.constants, cell.thermal_voltage
    reached = len(found.u)
    # c counts in kT eps0 / (e l)^2, charges in eps0 kT / (e l), energies in eps0 (kT/e)^2 / l.
    charge = k.permittivity * volt / cell.length
    energy = charge * volt
    c = found.concentrations(p.amount, p.w)
    values = {
        "potential": volt * found.u,
        "reduced_potential": found.u,
        "charge_density": charge_of(c, p),
        "electric_field": found.displacement,
        "free_energy": energy * found.energy,
        "dissipation": energy / shown.unit * found.dissipation,
        "dissipated_energy": energy * found.dissipated,
        "energy_balance": energy * found.balance,
        "electrode_charge": charge * found.charge,
        "electrode_potential": volt * shown.v[:reached],
        "ion_count": (c @ p.w) * (cell.length / p.unit),
        "error_estimate": error,
    }
    values["charge_density"] *= k.charge / p.unit
    values["electric_field"] *= volt / cell.length / cell.permittivity_at(p.x)
    c /= p.unit
    values["concentration"] = c
    return build(
        {
            **{name: _until(len(times), value) for name, value in values.items()},
            "time": times,
            "x": p.x,
            "species": np.array([ion.name for ion in cell.ions]),
            "electrode": np.array(["left", "right"]),
            "valence": p.z,
            "length": cell.length,
            "debye_length": cell.debye_length,
            "length_ratio": cell.length_ratio,
            "residual": max(level.residual for level in levels),
            "mass_error": max(level.mass_error for level in levels),
            "layer_resolution": shown.resolution,
            "minimum_concentration": min(shown.smallest / p.unit, float(c.min(initial=np.inf))),
            "energy_rise": energy * max(level.energy_rise for level in levels),
            "iterations": sum(level.tried for level in levels),
            "steps": levels[0].steps,
        },
        {
            "title": "transient of a closed cell",
            "outcome": outcome.value,
            "message": outcome.message,
            "contact": cell.contact,
            "notes": neutrality_note(cell),
            "nodes": p.x.size,
            "parameters": json.dumps(cell.describe()),
            **attrs,
        },
        over_time=True,
    )


def _until(count: int, values: Array) -> Array:
    """``values`` with NaN for the times that were not reached."""
    if len(values) == count:
        return values
    return np.concatenate([values, np.full((count - len(values), *values.shape[1:]), np.nan)])


def _check(cell: Cell, method: str, nodes: int, order: int) -> None:
    check_cell(cell, "solve_transient")
    if cell.contact != "closed":
        raise ValueError(f"cell: got contact {cell.contact!r}; electrodes that block need 'closed'")
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}; give one of {', '.join(METHODS)}")
    if order not in ORDERS:
        raise ValueError(f"order: got {order!r}; give one of 2, 4")
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


def _mesh(cell: Cell, program: Program, initial: str | xr.Dataset, nodes: int) -> Array:
    """Half of the nodes where the equilibrium at the largest voltage wants them, half evenly."""
    left, right = program.largest * cell.thermal_voltage
    if isinstance(initial, xr.Dataset) and "electrode_potential" in initial:
        ends = initial["electrode_potential"].values
        if ends.dtype.kind != "f" or ends.size < 2 or ends.shape[-1] != 2:
            raise ValueError(
                f"initial: got electrode_potential {ends!r:.60}; give a result of this package"
            )
        first, second = ends.reshape(-1, 2)[-1]
        if np.isfinite(first + second) and abs(second - first) > abs(right - left):
            left, right = float(first), float(second)
    solution = on_placed_mesh(cell.replace(potential=(float(left), float(right))), nodes, 1e-8)
    x = solution.problem.nodes
    density = 0.5 / (np.diff(x) * (nodes - 1)) + 0.5
    mesh = grid.snapped(grid.place(x, density, nodes), breakpoints(cell) / cell.length)
    return mesh * cell.length
