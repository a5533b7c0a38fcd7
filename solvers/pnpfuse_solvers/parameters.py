"""What a result may be differentiated with respect to: names, units, and values to perturb."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array

Complex = NDArray[np.complex128]
STEP = 1e-30  # the complex step, in units of a parameter's scale


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One number that makes a cell.

    Attributes
    ----------
    value : float
        What it is in the cell; 1 for the common factor of a function of x.
    unit : str
    scale : float
        A change that matters, in ``unit``.
    moves : tuple of (field, index, factor)
        Which of the ``Values`` it changes.
    """

    value: float
    unit: str
    scale: float
    moves: tuple[tuple[str, Any, float], ...]


@dataclasses.dataclass(frozen=True)
class Values:
    """The numbers that make a cell, one row for each of K perturbed parameters."""

    potential: Complex  # (K, 2)
    length: Complex  # (K,)
    temperature: Complex  # (K,)
    relative_permittivity: Complex  # (K,) the number, or the factor of the function
    fixed_charge: Complex  # (K,) likewise
    stern_thickness: Complex  # (K, 2)
    concentration: Complex  # (K, S)
    valence: Complex  # (K, S)
    diffusivity: Complex  # (K, S)
    held: Complex  # (K, 2, S) concentrations at the ends of a steady state


def parameters_of(cell: Cell, ends: Array | None) -> dict[str, Parameter]:
    """Return the parameters of a cell by name.

    Parameters
    ----------
    cell : Cell
    ends : array (2, S) or None
        Concentrations [1/m^3] held at the ends of a steady state; None for an equilibrium.
    """
    volt = cell.thermal_voltage
    left, right = cell.potential

    def single(field: str, index: Any, value: float, unit: str, scale: float) -> Parameter:
        return Parameter(float(value), unit, scale, ((field, index, 1.0),))

    charge = sum(abs(ion.valence) * ion.concentration for ion in cell.ions)
    epsilon, fixed = cell.relative_permittivity, cell.fixed_charge
    found = {
        "potential_left": single("potential", 0, left, "V", volt),
        "potential_right": single("potential", 1, right, "V", volt),
        "voltage": Parameter(
            0.5 * (left - right), "V", volt, (("potential", 0, 1.0), ("potential", 1, -1.0))
        ),
        "length": single("length", (), cell.length, "m", cell.length),
        "temperature": single("temperature", (), cell.temperature, "K", cell.temperature),
        "relative_permittivity": single("relative_permittivity", (), 1.0, "1", 1.0)
        if callable(epsilon)
        else single("relative_permittivity", (), epsilon, "1", epsilon),
        "fixed_charge": single("fixed_charge", (), 1.0, "1", 1.0)
        if callable(fixed)
        else single("fixed_charge", (), fixed, "e m-3", max(abs(fixed), charge)),
    }
    if ends is None:
        for end, side in enumerate(("left", "right")):
            found[f"stern_thickness_{side}"] = single(
                "stern_thickness", end, cell.stern_thickness[end], "m", cell.debye_length
            )
    for s, ion in enumerate(cell.ions):
        found[f"{ion.name}.valence"] = single("valence", s, ion.valence, "e", 1.0)
        if ends is None:
            found[f"{ion.name}.concentration"] = single(
                "concentration", s, ion.concentration, "m-3", ion.concentration
            )
            continue
        found[f"{ion.name}.diffusivity"] = single(
            "diffusivity", s, ion.diffusivity, "m2 s-1", ion.diffusivity
        )
        for end, side in enumerate(("left", "right")):
            at = float(ends[end, s])
            found[f"{side}.{ion.name}"] = single("held", (end, s), at, "m-3", at)
    return found


def perturbed(cell: Cell, ends: Array | None, chosen: Mapping[str, Parameter]) -> Values:
    """Return the cell's numbers with the k-th of the chosen ones a complex step off in row k."""
    species = len(cell.ions)
    count = len(chosen)

    def rows(value: Any) -> Complex:
        return np.tile(np.asarray(value, complex), (count, *(1,) * np.ndim(value)))

    def number(profile: Any) -> float:
        return 1.0 if callable(profile) else profile

    values = Values(
        potential=rows(cell.potential),
        length=rows(cell.length),
        temperature=rows(cell.temperature),
        relative_permittivity=rows(number(cell.relative_permittivity)),
        fixed_charge=rows(number(cell.fixed_charge)),
        stern_thickness=rows(cell.stern_thickness),
        concentration=rows([ion.concentration for ion in cell.ions]),
        valence=rows([ion.valence for ion in cell.ions]),
        diffusivity=rows([ion.diffusivity for ion in cell.ions]),
        held=rows(np.zeros((2, species)) if ends is None else ends),
    )
    for row, parameter in enumerate(chosen.values()):
        for field, index, factor in parameter.moves:
            at = (row, *index) if isinstance(index, tuple) else (row, index)
            getattr(values, field)[at] += 1j * STEP * factor * parameter.scale
    return values
