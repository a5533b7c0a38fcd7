"""Results as xarray Datasets that explain themselves: dims, units, long names, parameters."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.interface import Interface, Profiles, locate, separation
from pnpfuse_solvers.observables import least_share, log_of

if TYPE_CHECKING:
    from pnpfuse_solvers.batch import Equilibria
    from pnpfuse_solvers.discrete import Solution
    from pnpfuse_solvers.observables import Observables
    from pnpfuse_solvers.outcome import Outcome

# name: (dims, units, long name). What a result holds is said here and nowhere else.
VARIABLES: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "x": (("x",), "m", "distance from the left electrode"),
    "species": (("species",), "1", "ion"),
    "electrode": (("electrode",), "1", "electrode"),
    "potential": (("x",), "V", "electric potential"),
    "reduced_potential": (("x",), "kB T/e", "potential over thermal voltage"),
    "concentration": (("species", "x"), "m-3", "number density"),
    "charge_density": (("x",), "C m-3", "charge density of ions and fixed charge"),
    "electric_field": (("x",), "V m-1", "electric field"),
    "valence": (("species",), "e", "charge of an ion"),
    "length": ((), "m", "distance of the electrodes"),
    "debye_length": ((), "m", "Debye length of the given concentrations"),
    "length_ratio": ((), "1", "length over Debye length"),
    "interface": ((), "m", "position where cations and anions are equally many"),
    "interface_reason": ((), "1", "why there is no interface; empty where there is one"),
    "interface_uncertainty": (
        (),
        "m",
        "half the length over which the balance lies below its error (at order 2 Newton's alone)",
    ),
    "interface_width": ((), "m", "length from 10 % to 90 % of one kind of ions, cut at the walls"),
    "separation": (("species",), "1", "share of the species on its own side of the interface"),
    "electrode_potential": (("electrode",), "V", "potential of the electrode"),
    "surface_charge": (("electrode",), "C m-2", "charge of the electrode"),
    "free_energy": ((), "J m-2", "free energy less the work of the electrodes"),
    "packing": (("x",), "1", "volume fraction of the ions"),
    "excess_potential": (("species", "x"), "kB T", "excess chemical potential"),
    "flux": (("species",), "m-2 s-1", "number flux to the right"),
    "current_density": ((), "A m-2", "electric current density to the right"),
    "flux_spread": ((), "1", "largest difference of a flux along the cell over its scale"),
    "residual": ((), "1", "largest violation of Gauss's law over the largest displacement"),
    "error_estimate": ((), "kB T/e", "estimated error of reduced_potential; NaN at order 2"),
    "time": (("time",), "s", "time since the electrodes were switched on"),
    "dissipation": (("time",), "W m-2", "free energy that moving ions turn into heat"),
    "ion_count": (("time", "species"), "m-2", "ions per electrode area"),
    "electrode_charge": (("time", "electrode"), "C m-2", "charge of the electrode"),
    "dissipated_energy": (("time",), "J m-2", "free energy turned into heat since t = 0"),
    "energy_balance": (
        ("time",),
        "J m-2",
        "free energy gained since t = 0, and dissipated, less the work of electrodes that moved",
    ),
    "energy_rise": ((), "J m-2", "largest rise of the free energy in a step at fixed potentials"),
    "steps": ((), "1", "accepted steps in time"),
    "iterations": ((), "1", "Newton steps in all"),
    "mass_error": ((), "1", "largest relative error of an amount that the cell keeps"),
    "concentration_excess": (
        ("species",),
        "1",
        "share by which concentration, of exact amounts by the trapezoidal rule, is too large",
    ),
    "layer_resolution": ((), "1", "mesh spacing over layer thickness where ions are"),
    "minimum_concentration": ((), "m-3", "smallest number density of any species"),
    "least_density": ((), "1", "lowest number density of all ions together over its mean"),
}
COORDINATES = ("time", "x", "species", "electrode")
# What a transient reports at every time, beside what only a transient has.
OVER_TIME = {
    "potential", "reduced_potential", "concentration", "charge_density", "electric_field",
    "free_energy", "electrode_potential", "error_estimate",
}  # fmt: skip


@functools.cache
def package_version() -> str:
    """Version of the installed package."""
    return importlib.metadata.version("pnpfuse")


def build(
    values: Mapping[str, Any], attrs: Mapping[str, Any], over_time: bool = False
) -> xr.Dataset:
    """Return a Dataset of named values, dressed as ``VARIABLES`` says."""
    variables: dict[str, xr.Variable] = {}
    indexes: dict[str, Any] = {}
    for name, value in values.items():
        dims, units, long_name = VARIABLES[name]
        if over_time and name in OVER_TIME:
            dims = ("time", *dims)
        if name in COORDINATES:
            named = isinstance(value, tuple)
            index, variable = _names(name, value) if named else _coordinate(name, value)
            indexes[name], variable = index, variable.copy(deep=False)
        else:
            variable = xr.Variable(dims, np.asarray(value), fastpath=True)
        variable.attrs = {"units": units, "long_name": long_name}
        variables[name] = variable
    return _assembled(
        variables, indexes, {"package": "pnpfuse", "version": package_version(), **attrs}
    )


def _coordinate(name: str, value: Array) -> tuple[Any, xr.Variable]:
    labels = pd.Index(value, copy=False, name=name)
    index = xr.indexes.PandasIndex(labels, name, coord_dtype=value.dtype)
    return index, index.create_variables()[name]


@functools.lru_cache(maxsize=256)
def _names(name: str, value: tuple[str, ...]) -> tuple[Any, xr.Variable]:
    return _coordinate(name, np.array(value))


def _assembled(
    variables: Mapping[str, xr.Variable], indexes: Mapping[str, Any], attrs: Mapping[str, Any]
) -> xr.Dataset:
    """A Dataset of variables that are known to fit together.

    The public constructor aligns them all first, which takes longer than solving for them; it is
    used where xarray does not have the direct one.
    """
    direct = getattr(xr.Dataset, "_construct_direct", None)
    if direct is not None:
        # Every dimension of a result has a coordinate.
        sizes = {name: index.index.size for name, index in indexes.items()}
        return direct(
            variables=dict(variables), coord_names=set(indexes), dims=sizes, attrs=dict(attrs),
            indexes=dict(indexes),
        )  # fmt: skip
    return xr.Dataset(
        {name: variable for name, variable in variables.items() if name not in indexes},
        coords={name: variables[name] for name in indexes},
        attrs=attrs,
    )


def solution_dataset(
    cell: Cell,
    solution: Solution,
    observed: Observables,
    slopes: Array,
    certificates: Mapping[str, float],
    attrs: Mapping[str, Any],
    *,
    doubt: Array | None = None,
    **more: Any,
) -> xr.Dataset:
    """Return a solution in SI units with its interface, energy and certificates.

    Parameters
    ----------
    cell, solution, observed
        The cell, its (extrapolated) solution on the reported mesh, and what was read off it.
    slopes : array (S, N)
        Derivative of ln c along the cell, per cell length.
    certificates : dict
        residual, error_estimate, mass_error, layer_resolution.
    attrs : dict
        title, tol and what else explains the result.
    doubt : array (N,), optional
        Error of the difference of two ln c, where it is known.
    **more
        Further variables.
    """
    p = solution.problem
    found, share = _interface(
        solution, slopes, attrs["tol"], doubt, more.get("concentration_excess", np.zeros(p.z.size))
    )
    return _dressed(
        cell,
        {
            "x": p.x,
            "reduced_potential": solution.u,
            "concentration": solution.c / p.unit,
            "charge_density": cell.constants.charge / p.unit * solution.charge,
            "electric_field": observed.field,
            "surface_charge": observed.surface_charge,
            "free_energy": observed.free_energy,
            "iterations": solution.iterations,
            "separation": share,
            **certificates,
            **more,
        },
        found,
        {**attrs, "outcome": solution.outcome},
    )


def _dressed(
    cell: Cell, values: dict[str, Any], found: Interface, attrs: Mapping[str, Any]
) -> xr.Dataset:
    """What every solution reports, beside ``values``."""
    length, outcome = cell.length, attrs["outcome"]
    return build(
        values
        | {
            "species": tuple(ion.name for ion in cell.ions),
            "electrode": ("left", "right"),
            "potential": values["reduced_potential"] * cell.thermal_voltage,
            "valence": np.array([ion.valence for ion in cell.ions]),
            "length": length,
            "debye_length": (debye_length := cell.debye_length),
            "length_ratio": length / debye_length,
            "interface": found.position * length,
            "interface_reason": found.reason,
            "interface_uncertainty": found.uncertainty * length,
            "interface_width": found.width * length,
            "electrode_potential": np.array(cell.potential),
            "minimum_concentration": values["concentration"].min(),
            "least_density": least_share(values["x"], values["concentration"].sum(axis=0)),
        },
        {
            **attrs,
            "outcome": outcome.value,
            "message": outcome.message,
            "length": length,
            "nodes": values["x"].size,
            "parameters": json.dumps(cell.describe()),
        },
    )


def equilibrium_dataset(
    cell: Cell, found: Equilibria, outcome: Outcome, attrs: Mapping[str, Any]
) -> xr.Dataset:
    """Return the first cell of a batch in SI units; arguments as of `solution_dataset`."""
    b = found.batch
    x, u, slope, c = found.x[0], found.u[0], found.slope[0], found.c[0]
    unit, to_field = b.unit[0], cell.thermal_voltage / cell.length
    left, right, energy, error, residual, resolution, mass, _ = found.numbers[0].tolist()
    displacement = cell.constants.permittivity * to_field
    charge = b.z[0] @ c + b.fixed[0]
    position, uncertainty, width, split, first, last = found.interface[0].tolist()
    return _dressed(
        cell,
        {
            "x": x,
            "reduced_potential": u,
            "concentration": c / unit,
            "charge_density": charge * (cell.constants.charge / unit),
            "electric_field": slope * -to_field,
            "surface_charge": np.array([-left * displacement, right * displacement]),
            "free_energy": energy * displacement * cell.thermal_voltage,
            "iterations": found.iterations[0],
            "separation": found.separation[0],
            "residual": residual,
            "error_estimate": error,
            "mass_error": mass,
            "concentration_excess": found.excess[0],
            "layer_resolution": resolution,
        },
        Interface(position, uncertainty, width, split, found.why(0)),
        {**attrs, "outcome": outcome},
    )


def neutrality_note(cell: Cell) -> str:
    """Say where the given amounts are not neutral as a whole; empty where they are."""
    scale = sum(abs(ion.valence) * ion.concentration for ion in cell.ions)
    # The mean of a function is known to a sample's share of its largest values only.
    known = 1e-3 if callable(cell.fixed_charge) else 1e-9
    if abs(cell.net_charge) <= known * scale:
        return ""
    if cell.contact == "closed":
        return (
            f"The cell is not neutral as a whole: {cell.net_charge:.4g} elementary charges/m^3 on "
            "average; the electrodes carry the counter-charge."
        )
    return (
        f"The reservoir's composition is not neutral: {cell.net_charge:.4g} elementary "
        "charges/m^3 where u = 0; potentials far from the walls will not be 0."
    )


def _boltzmann(solution: Solution) -> Array:
    """ln c (S, N) of point ions."""
    log_c = log_of(solution.c)
    for s, z in enumerate(solution.problem.z):
        if solution.c[s].min() < 1e-290:
            # At equilibrium ln c is linear in u, also where c itself underflows.
            top = int(solution.c[s].argmax())
            boltzmann = log_c[s, top] - z * (solution.u - solution.u[top])
            log_c[s] = np.where(solution.c[s] > 1e-290, log_c[s], boltzmann)
    return log_c


def _interface(
    solution: Solution, slopes: Array, tol: float, doubt: Array | None, excess: Array
) -> tuple[Interface, Array]:
    """The interface on [0, 1] and each species' separation (S,)."""
    p = solution.problem
    log_c = getattr(solution, "log_c", None)
    if log_c is None:
        log_c = _boltzmann(solution)
    log_c = log_c - np.log1p(np.nan_to_num(excess))[:, None]
    profiles = Profiles(p.nodes, log_c, slopes, p.z)
    newton = float(p.z.max() - p.z.min()) * max(tol, 1e-10)
    error = newton if doubt is None else np.maximum(doubt, newton)
    found = locate(profiles, error)
    return found, separation(profiles, found.split)
