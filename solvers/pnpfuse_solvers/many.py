"""Equilibria of many cells: every combination of given values, solved side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import xarray as xr

from pnpfuse_solvers import batch, interface
from pnpfuse_solvers.arguments import check_accuracy, check_nodes
from pnpfuse_solvers.axes import Axis, Given, batch_of, changed, checked_axes, combined, uniform
from pnpfuse_solvers.batch import Equilibria
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import VARIABLES, package_version
from pnpfuse_solvers.equilibrium import solve_equilibrium
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.observables import least_share
from pnpfuse_solvers.outcome import Outcome

# Cells solved between two looks at the progress: their profiles stay in the cache.
CHUNK = 128
# More results than this do not fit into the memory of most machines (8 GB).
MOST_NUMBERS = 1e9
SCALARS = (
    "debye_length", "interface", "interface_uncertainty", "interface_width", "free_energy",
    "residual", "error_estimate", "mass_error", "layer_resolution", "minimum_concentration",
    "least_density", "iterations",
)  # fmt: skip


def solve_many(
    cell: Cell,
    vary: Mapping[str, Given],
    *,
    profiles: bool = False,
    nodes: int = 201,
    tol: float = 1e-10,
    order: int = 4,
    progress: bool | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return the equilibria of a cell for every combination of given values.

    Each cell is solved as by `solve_equilibrium`, on a mesh of its own, all compiled and side by
    side in threads (cells with functions of x, sizes or an excess one after the other). A cell that
    fails is NaN with its outcome and stops no other.

    Parameters
    ----------
    cell : Cell
        What is not varied.
    vary : {name: values}
        Values of "voltage" (electrodes at +voltage and -voltage, kB T/e at the cell's own
        temperature), "potential_left", "potential_right" [V], "length" [m], "temperature" [K],
        "relative_permittivity", "fixed_charge" [1/m^3], "stern_thickness" [m] (both electrodes),
        "<ion>.concentration" [1/m^3], "<ion>.valence", "<ion>.diameter" [m]. "length_ratio", in
        the place of "length", is the length in Debye lengths of that very cell, with all else that
        is varied. ``{dim: {name: values, ...}}`` lets several names move together along one
        dimension, called ``dim``; their values become coordinates.
    profiles : bool
        Also return potential and concentrations over the nodes of each cell's mesh, dimension
        `node`, with their positions `x`.
    nodes, tol, order
        As in `solve_equilibrium`.
    progress : bool, optional
        Show a bar; by default where the work is long and the output is a terminal.
    threads : int, optional
        Threads to use; by default Numba's number (NUMBA_NUM_THREADS).

    Returns
    -------
    xarray.Dataset
        Dimensions are the keys of ``vary`` in their order. Scalars of `solve_equilibrium` per cell,
        `separation` (.., species), `surface_charge` (.., electrode), and `outcome` and
        `interface_reason` as strings; with "length_ratio" also the `length` of each cell.

    Raises
    ------
    ValueError
        For a name that cannot be varied or a value out of range; nothing is solved then.

    Examples
    --------
    >>> cell = Cell.dimensionless(4, 5)
    >>> found = solve_many(cell, {"voltage": [1, 5, 20], "length": [cell.length, 2 * cell.length]})
    >>> dict(found.interface.sizes)
    {'voltage': 3, 'length': 2}

    Two ions whose charges differ, the cell being neutral and four Debye lengths long:

    >>> vary = {"pair": {"anion.valence": [-1, -2], "anion.concentration": [1e20, 5e19]}}
    >>> dict(solve_many(cell, {**vary, "length_ratio": [4]}).interface.sizes)
    {'pair': 2, 'length_ratio': 1}
    """
    check_cell(cell)
    check_nodes(nodes)
    tol = check_accuracy(tol, order)
    axes = checked_axes(cell, vary)
    count = math.prod(axis.size for axis in axes)
    numbers = count * (20 + 3 * len(cell.ions) + (2 + len(cell.ions)) * nodes * bool(profiles))
    if numbers > MOST_NUMBERS:
        raise ValueError(
            f"vary: got {count} cells, {numbers:.2g} numbers in all; give fewer at a time, at most "
            f"{MOST_NUMBERS:.2g} numbers"
        )
    # A function that does not work is an error, not so many failed cells.
    places = np.linspace(0.0, cell.length, 7)
    cell.permittivity_at(places)
    cell.fixed_charge_at(places)
    bar = _bar(count, progress)
    found = _Found(cell, count, nodes, order, profiles)
    at = combined(axes)
    if uniform(cell, at):
        with np.errstate(all="ignore"):
            whole = batch_of(cell, at)
        parts = [slice(k, min(k + CHUNK, count)) for k in range(0, count, CHUNK)]

        def work(part: slice) -> int:
            found.put(part, batch.solve(whole.rows(part), nodes, tol, order))
            return part.stop - part.start

        with ThreadPoolExecutor(_threads(threads)) as pool, bar:
            for done in pool.map(work, parts):
                bar.update(done)
    else:
        with bar:
            for k in range(count):
                changes = {name: float(values[k]) for name, values in at.items()}
                found.put_alone(k, cell, changes, nodes, tol, order)
                bar.update(1)
    return found.dataset(axes, {"nodes": nodes, "tol": tol, "order": order})


class _Found:
    """What was found of every cell, in SI units; NaN until a cell is put."""

    def __init__(self, cell: Cell, count: int, nodes: int, order: int, profiles: bool):
        self.cell, self.order, self.profiles = cell, order, profiles
        species = len(cell.ions)
        self.scalars = {name: np.full(count, np.nan) for name in SCALARS}
        self.length = np.full(count, np.nan)
        self.separation = np.full((count, species), np.nan)
        self.surface_charge = np.full((count, 2), np.nan)
        self.outcome = np.full(count, Outcome.OUT_OF_RANGE.value, dtype="<U20")
        self.reason = np.full(count, "", dtype=object)
        if profiles:
            self.x, self.potential = np.full((2, count, nodes), np.nan)
            self.concentration = np.full((count, species, nodes), np.nan)

    def put(self, part: slice, found: Equilibria) -> None:
        """Take the cells of a batch."""
        with np.errstate(all="ignore"):  # extreme cells have failed, and say so
            self._put(part, found)

    def _put(self, part: slice, found: Equilibria) -> None:
        b = found.batch
        left, right, energy, error, residual, resolution, mass, _ = found.numbers.T
        outcome = found.outcomes(self.order)
        ok = np.array([one.ok for one in outcome])
        for k in np.flatnonzero(~(b.z != 0.0).any(axis=1)):
            outcome[k], ok[k] = Outcome.OUT_OF_RANGE, False  # nothing is charged
        to_field = b.volt / b.length
        displacement = self.cell.constants.permittivity * to_field
        position, uncertainty, width = found.interface[:, :3].T * b.length
        values = {
            "debye_length": b.length / np.sqrt((b.z**2 * b.amount).sum(axis=1) / b.eps),
            "interface": position,
            "interface_uncertainty": uncertainty,
            "interface_width": width,
            "free_energy": energy * displacement * b.volt,
            "residual": residual,
            "error_estimate": error,
            "mass_error": mass,
            "layer_resolution": resolution,
            "minimum_concentration": found.c.min(axis=(1, 2)) / b.unit,
            "least_density": least_share(found.x, found.c.sum(axis=1)),
            "iterations": found.iterations,
        }
        for name, value in values.items():
            self.scalars[name][part] = np.where(ok, value, np.nan)
        self.length[part] = b.length
        self.outcome[part] = [one.value for one in outcome]
        for k in np.flatnonzero(~ok | (found.reason != interface.FOUND)):
            self.reason[part.start + k] = found.why(int(k)) if ok[k] else outcome[k].message
        ends = np.stack([-left, right], axis=1) * displacement[:, None]
        self.surface_charge[part] = np.where(ok[:, None], ends, np.nan)
        self.separation[part] = np.where(ok[:, None], found.separation, np.nan)
        if self.profiles:
            self.x[part] = np.where(ok[:, None], found.x, np.nan)
            self.potential[part] = np.where(ok[:, None], found.u * b.volt[:, None], np.nan)
            c = found.c / b.unit[:, None, None]
            self.concentration[part] = np.where(ok[:, None, None], c, np.nan)

    def put_alone(
        self, k: int, cell: Cell, changes: Mapping[str, float], nodes: int, tol: float, order: int
    ) -> None:
        """Solve one cell by itself: functions of x and finite ions have no batch."""
        try:
            one = solve_equilibrium(
                changed(cell, changes), nodes=nodes, tol=tol, throw=False, order=order
            )
        except ValueError as error:  # values that contradict each other in this combination
            self.reason[k] = str(error)
            return
        outcome = Outcome(one.attrs["outcome"])
        self.length[k] = one["length"].item()
        self.outcome[k], self.reason[k] = outcome.value, outcome.message
        if not outcome.ok:
            return
        self.reason[k] = one["interface_reason"].item()
        for name in SCALARS:
            self.scalars[name][k] = one[name].item()
        self.separation[k], self.surface_charge[k] = one["separation"], one["surface_charge"]
        if self.profiles:
            self.x[k], self.potential[k] = one["x"], one["potential"]
            self.concentration[k] = one["concentration"]

    def dataset(self, axes: Sequence[Axis], attrs: Mapping[str, Any]) -> xr.Dataset:
        """Everything over the axes."""
        dims = tuple(axis.dim for axis in axes)
        shape = tuple(axis.size for axis in axes)
        columns: dict[str, tuple[tuple[str, ...], Array]] = {
            **{name: ((), column) for name, column in self.scalars.items()},
            "separation": (("species",), self.separation),
            "surface_charge": (("electrode",), self.surface_charge),
            "outcome": ((), self.outcome),
            "interface_reason": ((), self.reason.astype(str)),
        }
        if self.profiles:
            columns["x"] = (("node",), self.x)
            columns["potential"] = (("node",), self.potential)
            columns["concentration"] = (("species", "node"), self.concentration)
        if any("length_ratio" in axis.values for axis in axes):
            columns["length"] = ((), self.length)
        coords: dict[str, Any] = {}
        for axis in axes:
            coords |= axis.coordinates()
        coords["species"] = ("species", [ion.name for ion in self.cell.ions])
        coords["electrode"] = ("electrode", ["left", "right"])
        return xr.Dataset(
            {
                name: (dims + inner, column.reshape(shape + column.shape[1:]), _dress(name))
                for name, (inner, column) in columns.items()
            },
            coords,
            {
                "package": "pnpfuse",
                "version": package_version(),
                "title": "equilibria of many cells",
                "outcome": f"{int((self.outcome == Outcome.CONVERGED.value).sum())} of "
                f"{self.outcome.size} cells converged",
                "parameters": json.dumps(self.cell.describe()),
                **attrs,
            },
        )


def _dress(name: str) -> dict[str, str]:
    if name == "outcome":
        return {"units": "1", "long_name": "what became of the cell"}
    return {"units": VARIABLES[name][1], "long_name": VARIABLES[name][2]}


def _threads(threads: int | None) -> int:
    if threads is None:
        # Not get_num_threads, which starts Numba's own threads; with OpenMP that sets torch's too.
        return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads: got {threads!r}; give a whole number of at least 1")
    return threads


def _bar(count: int, progress: bool | None) -> Any:
    from tqdm import tqdm  # here: a plain solve does not need it

    # None: shown on a terminal only, and there only if it lasts.
    disable = None if progress is None else not progress
    return tqdm(total=count, unit="cell", disable=disable, delay=0.0 if progress else 1.0)
