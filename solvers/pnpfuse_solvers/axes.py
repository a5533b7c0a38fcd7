"""What a sweep varies: names, values, names that go together, and the cells that they make."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pnpfuse_solvers.batch import Batch
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.dataset import VARIABLES
from pnpfuse_solvers.grid import Array

# What ``vary`` may name: unit, and whether values must be above 0.
FIELDS: Mapping[str, tuple[str, bool]] = {
    "voltage": ("kB T/e", False),
    "potential_left": ("V", False),
    "potential_right": ("V", False),
    "length": ("m", True),
    "length_ratio": ("1", True),
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
# Of each pair only one can be given.
_EITHER = (("voltage", "potential_left"), ("voltage", "potential_right"),
           ("length", "length_ratio"))  # fmt: skip
Given = Sequence[float] | Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Axis:
    """A dimension of a sweep.

    Attributes
    ----------
    dim : str
        Its name.
    values : {name: array}
        Values of what moves along it, all of one size.
    linked : bool
        Whether these are several names that move together, under a name of their own.
    """

    dim: str
    values: Mapping[str, Array]
    linked: bool

    @property
    def size(self) -> int:
        """Number of points."""
        return int(next(iter(self.values.values())).size)

    def coordinates(self) -> dict[str, tuple[tuple[str], Array, dict[str, str]]]:
        """Coordinates for a Dataset, by name."""
        return {
            name: ((self.dim,), values, {"units": _units(name), "long_name": _words(name)})
            for name, values in self.values.items()
        }


def checked_axes(cell: Cell, vary: Mapping[str, Given]) -> list[Axis]:
    """The axes that ``vary`` gives; ValueError by name."""
    names = [*FIELDS, *(f"{ion.name}.{field}" for ion in cell.ions for field in ION_FIELDS)]
    if not isinstance(vary, Mapping) or not vary:
        raise ValueError(f"vary: got {vary!r:.60}; give {{name: values}}, names from {names}")
    axes = []
    for dim, given in vary.items():
        if isinstance(given, Mapping):
            axes.append(_linked(dim, given, names))
        elif dim in names:
            axes.append(Axis(dim, {dim: _values(dim, given, f"vary[{dim!r}]")}, False))
        else:
            raise ValueError(f"vary: got the name {dim!r}; give one of {names}")
    given_names = [name for axis in axes for name in axis.values]
    for name in given_names:
        if given_names.count(name) > 1:
            raise ValueError(f"vary: got {name} twice; give it once")
    for one, other in _EITHER:
        if one in given_names and other in given_names:
            raise ValueError(f"vary: got {one} beside {other}; give one or the other")
    held = callable(cell.relative_permittivity) and "relative_permittivity" not in given_names
    if "length_ratio" in given_names and held:
        raise ValueError(
            "vary: got length_ratio for a permittivity that is a function of x, whose mean, and "
            "with it the Debye length, depends on the length; give length"
        )
    return axes


def _linked(dim: Any, given: Mapping[str, Sequence[float]], names: Sequence[str]) -> Axis:
    taken = dim in names or dim in VARIABLES or dim in ("node", "outcome")
    if not isinstance(dim, str) or not dim.isprintable() or not dim.strip() or taken:
        raise ValueError(
            f"vary: got {dim!r:.60} as the name of values that go together; give it a name of its "
            "own, one that is no field of a cell and nothing of a result"
        )
    if not given:
        raise ValueError(f"vary[{dim!r}]: got no names; give some of {names}")
    for name in given:
        if name not in names:
            raise ValueError(f"vary[{dim!r}]: got the name {name!r}; give one of {names}")
    values = {name: _values(name, v, f"vary[{dim!r}][{name!r}]") for name, v in given.items()}
    sizes = {name: axis.size for name, axis in values.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"vary[{dim!r}]: got lists of {sizes} numbers; give them equally long")
    return Axis(dim, values, True)


def _values(name: str, given: Any, called: str) -> Array:
    try:
        axis = np.asarray(given)
        axis = axis.astype(float) if axis.dtype.kind in "iuf" else np.zeros(0)
    except (TypeError, ValueError):
        axis = np.zeros(0)
    if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
        raise ValueError(f"{called}: got {given!r:.60}; give a list of finite numbers")
    field = _field(name)
    above = {**FIELDS, **ION_FIELDS}[field][1]
    if (above and axis.min() <= 0.0) or (
        field in ("stern_thickness", "diameter") and axis.min() < 0
    ):
        raise ValueError(
            f"{called}: got {axis.min():g}; give values {'above' if above else 'from'} 0"
        )
    return axis


def _field(name: str) -> str:
    return name if name in FIELDS else name.rpartition(".")[2]


def _units(name: str) -> str:
    return {**FIELDS, **ION_FIELDS}[_field(name)][0]


def _words(name: str) -> str:
    return VARIABLES[name][2] if name == "length_ratio" else name.replace("_", " ")


def combined(axes: Sequence[Axis]) -> dict[str, Array]:
    """Values (cells,) of every name in all combinations, the last axis fastest."""
    shape = tuple(axis.size for axis in axes)
    count = math.prod(shape)
    at = {}
    for k, axis in enumerate(axes):
        along = (np.newaxis,) * k + (slice(None),) + (np.newaxis,) * (len(axes) - k - 1)
        for name, values in axis.values.items():
            at[name] = np.broadcast_to(values[along], shape).reshape(count)
    return at


def uniform(cell: Cell, at: Mapping[str, Array]) -> bool:
    """Whether all the cells are of point ions and without functions of x."""
    profiles = {
        "fixed_charge": cell.fixed_charge,
        "relative_permittivity": cell.relative_permittivity,
    }
    functions = any(callable(p) for name, p in profiles.items() if name not in at)
    sized = any(name.endswith(".diameter") for name in at)
    return cell.ideal and not (functions or sized)


def batch_of(cell: Cell, at: Mapping[str, Array]) -> Batch:
    """The cells with these values, for `uniform` ones."""
    k = cell.constants
    one = np.ones(next(iter(at.values())).size)
    eps = at.get("relative_permittivity")
    eps = float(cell.relative_permittivity) * one if eps is None else eps  # type: ignore[arg-type]
    fixed = at.get("fixed_charge")
    fixed = float(cell.fixed_charge) * one if fixed is None else fixed  # type: ignore[arg-type]
    ions = {
        field: np.stack(
            [at.get(f"{ion.name}.{field}", getattr(ion, field) * one) for ion in cell.ions], axis=1
        )
        for field in ("valence", "concentration")
    }
    thermal = k.boltzmann * at.get("temperature", cell.temperature * one)
    volt = thermal / k.charge
    length = at.get("length", cell.length * one)
    if "length_ratio" in at:
        strength = (ions["valence"] ** 2 * ions["concentration"]).sum(axis=1)
        strength[strength == 0.0] = np.nan  # nothing is charged: no Debye length
        debye_length = np.sqrt(eps * k.permittivity * thermal / (k.charge**2 * strength))
        length = at["length_ratio"] * debye_length
    unit = k.charge**2 * length**2 / (k.permittivity * thermal)
    if "voltage" in at:
        v = np.stack([at["voltage"], -at["voltage"]], axis=1)
    else:
        ends = (at.get(f"potential_{side}", p * one) for side, p in
                zip(("left", "right"), cell.potential, strict=True))  # fmt: skip
        v = np.stack(list(ends), axis=1) / volt[:, None]
    stern = at.get("stern_thickness")
    if stern is None:
        thickness = np.outer(one, cell.stern_thickness)
    else:
        thickness = np.stack([stern, stern], axis=1)
    r = np.zeros_like(thickness)
    np.divide((eps * length)[:, None], thickness, out=r, where=thickness > 0.0)
    return Batch(
        length, unit, volt, eps, unit * fixed, r, v, ions["valence"],
        unit[:, None] * ions["concentration"], cell.contact == "closed",
    )  # fmt: skip


def changed(cell: Cell, changes: Mapping[str, float]) -> Cell:
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
        elif name in ("voltage", "length_ratio"):
            continue  # they count in what the rest gives
        elif name in FIELDS:
            fields[name] = value
        else:
            ion, _, field = name.rpartition(".")
            ions[ion][field] = value
    fields["ions"] = tuple(type(cell.ions[0])(**given) for given in ions.values())
    made = cell.replace(potential=(left, right), **fields)
    if "length_ratio" in changes:
        made = made.replace(length=changes["length_ratio"] * made.debye_length)
    return made.at_voltage(changes["voltage"]) if "voltage" in changes else made
