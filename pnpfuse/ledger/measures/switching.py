"""Cells whose electrodes are switched on or released, and the parts of their free energy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient

# (Debye lengths, voltage in kB T/e, valences, diffusivity of the anions over the cations')
CELLS = (
    (0.5, 5.0, (1, -1), 1.0),
    (5.0, 2.0, (2, -1), 3.0),
    (8.0, 3.0, (1, -1), 10.0),
    (10.0, 3.0, (1, -1), 1.0),
    (30.0, 8.0, (1, -1), 1.0),
)
RTOL = 1e-9  # of the integration in time
SAID = (
    f"Closed cells of {listed(length for length, *_ in CELLS)} Debye lengths, 1:1 and 2:1, ions "
    f"of equal and unequal mobility, integrated in time (relative error {RTOL:g} a step): "
    "electrodes switched on with the ions spread evenly, and electrodes put to 0 V from the "
    "equilibrium at the voltage"
)


@dataclass(frozen=True)
class Run:
    """A cell over time.

    Attributes
    ----------
    kind : "switched on" or "released"
    cell : with the potentials that its electrodes have from t = 0 on
    result : of `solve_transient`
    """

    kind: str
    cell: Cell
    result: xr.Dataset

    @property
    def name(self) -> str:
        """How it is called in figures."""
        return f"{self.kind}, {self.cell.length_ratio:.3g} λ_D"


def switched_cells() -> list[Run]:
    """Every cell of `CELLS`, switched on and released."""
    found = []
    for length, voltage, valences, mobility in CELLS:
        amounts = (1.0, valences[0] / -valences[1])
        cell = Cell.dimensionless(length, voltage, valences, amounts)
        cation, anion = cell.ions
        anion = dataclasses.replace(anion, diffusivity=mobility * cation.diffusivity)
        cell = cell.replace(ions=(cation, anion))
        slowest = cell.length**2 / cation.diffusivity
        times = np.append(0.0, np.geomspace(1e-5, 20.0, 60)) * slowest
        charged: dict[str, Any] = {"initial": solve_equilibrium(cell, order=2)}
        grounded = cell.at_voltage(0.0)
        for kind, there, start in (
            ("switched on", cell, {}), ("released", grounded, charged),
        ):  # fmt: skip
            result = solve_transient(there, times.tolist(), order=2, nodes=201, rtol=RTOL, **start)
            found.append(Run(kind, there, result))
    return found


def energies(run: Run) -> dict[str, NDArray[np.float64]]:
    """The parts of the free energy over time, each (time,), from the profiles alone [kB T/m^2].

    "ideal" sum_i int c_i (ln c_i/c_i0 - 1) dx; "field" eps/2 int |dphi/dx|^2 dx; "coupling"
    sum_i z_i e int c_i phi dx; "work" sum over the ends of potential times electrode charge.
    """
    result, cell = run.result, run.cell
    thermal = cell.constants.boltzmann * cell.temperature
    x, phi = result["x"].values, result["potential"].values
    c = result["concentration"].transpose("species", "time", "x").values
    given = np.array([ion.concentration for ion in cell.ions])[:, None, None]
    h = np.diff(x)
    weights = 0.5 * (np.append(h, 0.0) + np.append(0.0, h))
    charge = cell.constants.charge * np.einsum("s,stx->tx", result["valence"].values, c)
    ends = result["electrode_potential"] * result["electrode_charge"]
    epsilon = cell.constants.permittivity * cell.mean_permittivity
    parts = {
        "ideal": thermal * (c * (np.log(c / given) - 1.0)).sum(axis=0) @ weights,
        "field": 0.5 * epsilon * (np.diff(phi) ** 2 / h).sum(axis=1),
        "coupling": (charge * phi) @ weights,
        "work": ends.sum("electrode").values,
    }
    return {name: value / thermal for name, value in parts.items()}


def largest_rise(energy: NDArray[np.float64]) -> float:
    """How far an energy climbs above what it had been, over all that it changes."""
    climbed = energy - np.minimum.accumulate(energy)
    return float(climbed.max() / max(np.ptp(energy), np.finfo(float).tiny))
