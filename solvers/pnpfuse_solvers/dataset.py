"""Results as xarray Datasets that explain themselves: dims, units, long names, parameters."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.interface import Interface, Profiles, locate, separation

if TYPE_CHECKING:
    from pnpfuse_solvers.discrete import Solution
    from pnpfuse_solvers.observables import Observables

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
        "half the length over which the balance lies below the error of Newton's method",
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
    "energy_rise": ((), "J m-2", "largest rise of the free energy in a step at fixed potentials"),
    "steps": ((), "1", "accepted steps in time"),
    "iterations": ((), "1", "Newton steps in all"),
    "mass_error": ((), "1", "largest relative error of an amount that the cell keeps"),
    "layer_resolution": ((), "1", "mesh spacing over layer thickness where ions are"),
    "minimum_concentration": ((), "m-3", "smallest number density of any species"),
}
COORDINATES = ("time", "x", "species", "electrode")
# What a transient reports at every time, beside what only a transient has.
OVER_TIME = {
    "potential", "reduced_potential", "concentration", "charge_density", "electric_field",
    "free_energy", "electrode_potential",
}  # fmt: skip


@functools.cache
def _version() -> str:
    return importlib.metadata.version("pnpfuse")


def build(
    values: Mapping[str, Any], attrs: Mapping[str, Any], over_time: bool = False
) -> xr.Dataset:
    """Return a Dataset of named values, dressed as ``VARIABLES`` says."""

    def dressed(name: str) -> tuple:
        dims, units, long_name = VARIABLES[name]
        if over_time and name in OVER_TIME:
            dims = ("time", *dims)
        return dims, values[name], {"units": units, "long_name": long_name}

    return xr.Dataset(
        {name: dressed(name) for name in values if name not in COORDINATES},
        coords={name: dressed(name) for name in values if name in COORDINATES},
        attrs={
            "package": "pnpfuse",
            "version": _version(),
            **attrs,
        },
    )


def solution_dataset(
    cell: Cell,
    solution: Solution,
    observed: Observables,
    slopes: Array,
    certificates: Mapping[str, float],
    attrs: Mapping[str, Any],
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
    **more
        Further variables.
    """
    p = solution.problem
    c = solution.c / p.unit
    found, share = _interface(solution, slopes, attrs["tol"])
    return build(
        {
            "x": p.x,
            "species": np.array([ion.name for ion in cell.ions]),
            "electrode": np.array(["left", "right"]),
            "potential": solution.u * cell.thermal_voltage,
            "reduced_potential": solution.u,
            "concentration": c,
            "charge_density": cell.constants.charge * solution.charge / p.unit,
            "electric_field": observed.field,
            "valence": p.z,
            "length": cell.length,
            "debye_length": cell.debye_length,
            "length_ratio": cell.length_ratio,
            "interface": found.position * cell.length,
            "interface_reason": found.reason,
            "interface_uncertainty": found.uncertainty * cell.length,
            "interface_width": found.width * cell.length,
            "separation": share,
            "electrode_potential": np.array(cell.potential),
            "surface_charge": observed.surface_charge,
            "free_energy": observed.free_energy,
            "iterations": solution.iterations,
            "minimum_concentration": c.min(),
            **certificates,
            **more,
        },
        {
            "outcome": solution.outcome.value,
            "message": solution.outcome.message,
            "length": cell.length,
            "nodes": p.x.size,
            "parameters": json.dumps(cell.describe()),
            **attrs,
        },
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


def _interface(solution: Solution, slopes: Array, tol: float) -> tuple[Interface, Array]:
    """The interface on [0, 1] and each species' separation (S,)."""
    p = solution.problem
    log_c = getattr(solution, "log_c", np.empty_like(solution.c))
    for s, z in enumerate(p.z if not hasattr(solution, "log_c") else ()):
        # At equilibrium ln c is linear in u, also where c itself underflows.
        top = int(solution.c[s].argmax())
        boltzmann = np.log(solution.c[s, top]) - z * (solution.u - solution.u[top])
        kept = np.maximum(solution.c[s], np.finfo(float).tiny)
        log_c[s] = np.where(solution.c[s] > 1e-290, np.log(kept), boltzmann)
    profiles = Profiles(p.nodes, log_c, slopes, p.z)
    error = float(p.z.max() - p.z.min()) * max(tol, 1e-10)
    found = locate(profiles, error)
    return found, separation(profiles, found.split)
