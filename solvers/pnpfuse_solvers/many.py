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
from pnpfuse_solvers.batch import Batch, Equilibria
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import VARIABLES, package_version
from pnpfuse_solvers.equilibrium import solve_equilibrium
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome

# Cells solved between two looks at the progress: their profiles stay in the cache.
CHUNK = 128
# More results than this do not fit into the memory of most machines (8 GB).
MOST_NUMBERS = 1e9
# What ``vary`` may name: unit, and whether values must be above 0.
FIELDS: Mapping[str, tuple[str, bool]] = {
    "voltage": ("kB T/e", False),
    "potential_left": ("V", False),
    "potential_right": ("V", False),
    "length": ("m", True),
    "temperature": ("K", True),
    "relative_permittivity": ("1", True),
    "fixed_charge": ("m-3", False),
    "stern_thickness": ("m", False),
}
ION_FIELDS: Mapping[str, tuple[str, bool]] = {
    "concentration": ("m-3", True),
    "valence": ("e", False),
    "diameter": ("m", False),
}
SCALARS = (
    "debye_length", "interface", "interface_uncertainty", "interface_width", "free_energy",
    "residual", "error_estimate", "mass_error", "layer_resolution", "minimum_concentration",
    "iterations",
)  # fmt: skip


def solve_many(
    cell: Cell,
    vary: Mapping[str, Sequence[float]],
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
        "<ion>.concentration" [1/m^3], "<ion>.valence", "<ion>.diameter" [m].
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
        `interface_reason` as strings.

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
    """
    check_cell(cell)
    check_nodes(nodes)
    tol = check_accuracy(tol, order)
    values = _checked(cell, vary)
    shape = tuple(axis.size for axis in values.values())
    count = math.prod(shape)
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
    if _uniform(cell, values):
        with np.errstate(all="ignore"):
            whole = _batch(cell, values)
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
                at = zip(values, np.unravel_index(k, shape), strict=True)
                changes = {name: float(values[name][i]) for name, i in at}
                found.put_alone(k, cell, changes, nodes, tol, order)
                bar.update(1)
    return found.dataset(values, {"nodes": nodes, "tol": tol, "order": order})


class _Found:
    """What was found of every cell, in SI units; NaN until a cell is put."""

    def __init__(self, cell: Cell, count: int, nodes: int, order: int, profiles: bool):
        self.cell, self.order, self.profiles = cell, order, profiles
        species = len(cell.ions)
        self.scalars = {name: np.full(count, np.nan) for name in SCALARS}
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
        for k in np.flatnonzero(ok & ~(b.z != 0.0).any(axis=1)):
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
            "iterations": found.iterations,
        }
        for name, value in values.items():
            self.scalars[name][part] = np.where(ok, value, np.nan)
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
                _changed(cell, changes), nodes=nodes, tol=tol, throw=False, order=order
            )
        except ValueError as error:  # values that contradict each other in this combination
            self.reason[k] = str(error)
            return
        outcome = Outcome(one.attrs["outcome"])
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

    def dataset(self, values: Mapping[str, Array], attrs: Mapping[str, Any]) -> xr.Dataset:
        """Everything over the varied names."""
        dims = tuple(values)
        shape = tuple(axis.size for axis in values.values())
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
        coords: dict[str, Any] = {
            name: ((name,), axis, {"units": _units(name), "long_name": name.replace("_", " ")})
            for name, axis in values.items()
        }
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


def _units(name: str) -> str:
    return FIELDS[name][0] if name in FIELDS else ION_FIELDS[name.rpartition(".")[2]][0]


def _checked(cell: Cell, vary: Mapping[str, Sequence[float]]) -> dict[str, Array]:
    """The values to take, each an array; ValueError by name."""
    names = [*FIELDS, *(f"{ion.name}.{field}" for ion in cell.ions for field in ION_FIELDS)]
    if not isinstance(vary, Mapping) or not vary:
        raise ValueError(f"vary: got {vary!r:.60}; give {{name: values}}, names from {names}")
    checked = {}
    for name, given in vary.items():
        if name not in names:
            raise ValueError(f"vary: got the name {name!r}; give one of {names}")
        try:
            axis = np.asarray(given)
            axis = axis.astype(float) if axis.dtype.kind in "iuf" else np.zeros(0)
        except (TypeError, ValueError):
            axis = np.zeros(0)
        if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
            raise ValueError(f"vary[{name!r}]: got {given!r:.60}; give a list of finite numbers")
        field = name if name in FIELDS else name.rpartition(".")[2]
        above = {**FIELDS, **ION_FIELDS}[field][1]
        if (above and axis.min() <= 0.0) or (
            field in ("stern_thickness", "diameter") and axis.min() < 0
        ):
            raise ValueError(
                f"vary[{name!r}]: got {axis.min():g}; give values {'above' if above else 'from'} 0"
            )
        checked[name] = axis
    if "voltage" in checked and {"potential_left", "potential_right"} & set(checked):
        raise ValueError("vary: got voltage beside potential_left or _right; give one or the other")
    return checked


def _threads(threads: int | None) -> int:
    if threads is None:
        return int(numba.get_num_threads())
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads: got {threads!r}; give a whole number of at least 1")
    return threads


def _bar(count: int, progress: bool | None) -> Any:
    from tqdm import tqdm  # here: a plain solve does not need it

    # None: shown on a terminal only, and there only if it lasts.
    disable = None if progress is None else not progress
    return tqdm(total=count, unit="cell", disable=disable, delay=0.0 if progress else 1.0)


def _uniform(cell: Cell, values: Mapping[str, Array]) -> bool:
    profiles = {
        "fixed_charge": cell.fixed_charge,
        "relative_permittivity": cell.relative_permittivity,
    }
    functions = any(callable(p) for name, p in profiles.items() if name not in values)
    sized = any(name.endswith(".diameter") for name in values)
    return cell.ideal and not (functions or sized)


def _batch(cell: Cell, values: Mapping[str, Array]) -> Batch:
    """All combinations of the values, the last name fastest."""
    grids = np.meshgrid(*values.values(), indexing="ij")
    at = {name: grid.ravel() for name, grid in zip(values, grids, strict=True)}
    k = cell.constants
    one = np.ones(grids[0].size)
    length = at.get("length", cell.length * one)
    temperature = at.get("temperature", cell.temperature * one)
    eps = at.get("relative_permittivity")
    fixed = at.get("fixed_charge")
    stern = at.get("stern_thickness")
    volt = k.boltzmann * temperature / k.charge
    unit = k.charge**2 * length**2 / (k.permittivity * k.boltzmann * temperature)
    if "voltage" in at:
        v = np.stack([at["voltage"], -at["voltage"]], axis=1)
    else:
        ends = (at.get(f"potential_{side}", p * one) for side, p in
                zip(("left", "right"), cell.potential, strict=True))  # fmt: skip
        v = np.stack(list(ends), axis=1) / volt[:, None]
    ions = {
        field: np.stack(
            [at.get(f"{ion.name}.{field}", getattr(ion, field) * one) for ion in cell.ions], axis=1
        )
        for field in ("valence", "concentration")
    }
    eps = float(cell.relative_permittivity) * one if eps is None else eps  # type: ignore[arg-type]
    fixed = float(cell.fixed_charge) * one if fixed is None else fixed  # type: ignore[arg-type]
    if stern is None:
        thickness = np.outer(one, cell.stern_thickness)
    else:
        thickness = np.stack([stern, stern], axis=1)
    r = np.zeros_like(thickness)
    np.divide((eps * length)[:, None], thickness, out=r, where=thickness > 0.0)
    closed = cell.contact == "closed"
    return Batch(
        length, unit, volt, eps, unit * fixed, r, v, ions["valence"],
        unit[:, None] * ions["concentration"], closed,
    )  # fmt: skip


def _changed(cell: Cell, changes: Mapping[str, float]) -> Cell:
    """The cell with some values changed; ValueError where it cannot have them."""
    fields: dict[str, Any] = {}
    ions = {ion.name: vars(ion).copy() for ion in cell.ions}
    left, right = cell.potential
    for name, value in changes.items():
        if name == "stern_thickness":
            fields[name] = (value, value)
        elif name == "potential_left":
            left = value
        elif name == "potential_right":
            right = value
        elif name in FIELDS and name != "voltage":
            fields[name] = value
        elif name != "voltage":
            ion, _, field = name.rpartition(".")
            ions[ion][field] = value
    fields["ions"] = tuple(type(cell.ions[0])(**given) for given in ions.values())
    changed = cell.replace(potential=(left, right), **fields)
    return changed.at_voltage(changes["voltage"]) if "voltage" in changes else changed
