"""Free energy of a cell."""

import numpy as np

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array


def free_energy(
    cell: Cell, w: Array, a: Array, r: Array, u: Array, c: Array, surface_charge: Array
) -> float:
    """Return the free energy per electrode area [J/m^2] that equilibrium minimises.

    ``sum_i kB T int c_i (ln(c_i/c_i0) - 1) dx + int eps/2 |dphi/dx|^2 dx - sum phi_end sigma_end``:
    the ions' ideal part against their given concentrations c_i0, the energy of the field (Stern
    layers included) and the work of the electrodes, which are held at their potentials.

    Parameters
    ----------
    cell : Cell
    w, a, r : arrays (N,), (N-1,), (2,)
        Weights, edge permittivities over lengths and Stern conductances, in cell lengths.
    u : array (N,)
        Potential, kB T/e.
    c : array (S, N)
        Concentrations [1/m^3].
    surface_charge : array (2,)
        Charge of the electrodes [C/m^2].
    """
    thermal = cell.constants.boltzmann * cell.temperature
    volt = cell.thermal_voltage
    reference = np.array([ion.concentration for ion in cell.ions])[:, None]
    # A ratio may underflow where c does not, quite.
    ratio = np.maximum(c / reference, np.finfo(float).tiny)
    ideal = thermal * cell.length * ((c * np.log(ratio) - c) @ w).sum()
    per_volt = cell.constants.permittivity / cell.length
    field = 0.5 * per_volt * volt**2 * (a @ np.diff(u) ** 2)
    electrodes = np.array(cell.potential)
    stern = 0.5 * per_volt * (r @ (volt * u[[0, -1]] - electrodes) ** 2)
    return float(ideal + field + stern - electrodes @ surface_charge)
