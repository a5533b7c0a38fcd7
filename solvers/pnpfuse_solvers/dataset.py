"""Results as xarray Datasets that explain themselves: dims, units, long names, parameters."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.energy import free_energy
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.interface import Interface, locate, log_balance, separation

if TYPE_CHECKING:
    from pnpfuse_solvers.equilibrium import Solution

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
    "interface": ((), "m", "position where cations and anions balance"),
    "interface_reason": ((), "1", "why there is no interface; empty where there is one"),
    "interface_uncertainty": (
        (),
        "m",
        "half the length over which the balance lies below the solver's error",
    ),
    "interface_width": ((), "m", "length from 10 % to 90 % of one kind of ions, cut at the walls"),
    "separation": (("species",), "1", "share of the species on its own side of the interface"),
    "surface_charge": (("electrode",), "C m-2", "charge of the electrode"),
    "free_energy": ((), "J m-2", "free energy less the work of the electrodes"),
    "residual": ((), "1", "largest violation of Gauss's law over the largest displacement"),
    "iterations": ((), "1", "Newton steps over all meshes"),
    "mass_error": ((), "1", "largest relative error of an amount that the cell keeps"),
    "layer_resolution": ((), "1", "mesh spacing over layer thickness where ions are"),
    "minimum_concentration": ((), "m-3", "smallest number density of any species"),
}
COORDINATES = ("x", "species", "electrode")


def build(values: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Return a Dataset of named values, dressed as ``VARIABLES`` says."""

    def dressed(name: str) -> tuple:
        dims, units, long_name = VARIABLES[name]
        return dims, values[name], {"units": units, "long_name": long_name}

    return xr.Dataset(
        {name: dressed(name) for name in values if name not in COORDINATES},
        coords={name: dressed(name) for name in values if name in COORDINATES},
        attrs={
            "package": "pnpfuse",
            "version": importlib.metadata.version("pnpfuse"),
            **attrs,
        },
    )


def equilibrium_dataset(cell: Cell, solution: Solution, tol: float) -> xr.Dataset:
    """Return a solution in SI units with its interface, energy and certificates."""
    p = solution.problem
    volt = cell.thermal_voltage
    given = np.array([ion.concentration for ion in cell.ions])
    per_unit = given / p.amount  # 1/m^3 of one dimensionless unit, the same for every species
    c = solution.c * per_unit[:, None]
    surface, field = _electrostatics(cell, solution)
    found, share = _interface(solution, tol)
    return build(
        {
            "x": p.x,
            "species": np.array([ion.name for ion in cell.ions]),
            "electrode": np.array(["left", "right"]),
            "potential": solution.u * volt,
            "reduced_potential": solution.u,
            "concentration": c,
            "charge_density": cell.constants.charge * per_unit[0] * solution.charge,
            "electric_field": field,
            "valence": p.z,
            "length": cell.length,
            "debye_length": cell.debye_length,
            "length_ratio": cell.length_ratio,
            "interface": found.position * cell.length,
            "interface_reason": found.reason,
            "interface_uncertainty": found.uncertainty * cell.length,
            "interface_width": found.width * cell.length,
            "separation": share,
            "surface_charge": surface,
            "free_energy": free_energy(cell, p.w, p.a, p.r, solution.u, c, surface),
            "residual": solution.residual(),
            "iterations": solution.iterations,
            "mass_error": np.abs(solution.c @ p.w / p.amount - 1.0).max() if p.closed else 0.0,
            "layer_resolution": solution.layer_resolution(),
            "minimum_concentration": c.min(),
        },
        {
            "title": f"equilibrium of a {cell.contact} cell",
            "outcome": solution.outcome.value,
            "message": solution.outcome.message,
            "notes": neutrality_note(cell),
            "length": cell.length,
            "contact": cell.contact,
            "nodes": p.x.size,
            "tol": tol,
            "parameters": json.dumps(cell.describe()),
        },
    )


def neutrality_note(cell: Cell) -> str:
    """Say where the given amounts are not neutral as a whole; empty where they are."""
    scale = sum(abs(ion.valence) * ion.concentration for ion in cell.ions)
    if abs(cell.net_charge) <= 1e-9 * scale:
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


def _interface(solution: Solution, tol: float) -> tuple[Interface, Array]:
    """The interface on [0, 1] and each species' separation (S,)."""
    p = solution.problem
    # ln c from the largest value of each species: linear in u also where c underflows.
    log_c = np.empty_like(solution.c)
    for s, z in enumerate(p.z):
        top = int(solution.c[s].argmax())
        log_c[s] = np.log(solution.c[s, top]) - z * (solution.u - solution.u[top])
    balance = log_balance(log_c, p.z)
    error = float(p.z.max() - p.z.min()) * max(tol, 1e-10)
    found = locate(p.nodes, balance, error)
    return found, separation(p.nodes, solution.c, p.z, found.split, balance)


def _electrostatics(cell: Cell, solution: Solution) -> tuple[Array, Array]:
    """Electrode charges (2,) [C/m^2] and field at the nodes (N,) [V/m], by Gauss's law."""
    p = solution.problem
    to_field = cell.thermal_voltage / cell.length
    displacement = -p.a * np.diff(solution.u)  # eps_r E on the edges
    half = 0.5 * np.diff(p.nodes)
    # From an edge's middle to its ends through the charge between them.
    at_node = np.empty(p.x.size)
    at_node[1:] = displacement + solution.charge[1:] * half
    at_node[0] = displacement[0] - solution.charge[0] * half[0]
    surface = cell.constants.permittivity * to_field * at_node[[0, -1]] * np.array([1.0, -1.0])
    return surface, at_node * to_field / cell.permittivity_at(p.x)
