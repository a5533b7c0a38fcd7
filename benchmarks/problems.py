"""The problems that all solvers get, as plain numbers; for ours also as cells.

P1  closed cell, l/lambda_D = 0.118338 (PMR Fig. 8), electrodes at +-U
P2  closed cell and reservoir, l/lambda_D = 100, electrodes at +-U
P3  steady flux through a charged membrane: lam2 u'' = -(sum z c + X), X = -1/2 on the middle third
P4  closed cell of 20 lambda_D, uniform at t = 0, +-V applied from then on; q(t) = -u_x(0, t)

Lengths of P1-P3 are in cell lengths, those of P4 in lambda_D; u in kB T/e.
"""

import dataclasses

import numpy as np

from pnpfuse_solvers import Cell, Ion

FIG8_RATIO, WIDE_RATIO = 0.118338, 100.0
EQUILIBRIA = [
    *(("P1", "closed", FIG8_RATIO, u) for u in (1, 5, 20, 40)),
    *(("P2", "closed", WIDE_RATIO, u) for u in (10, 20, 40)),
    *(("P2", "reservoir", WIDE_RATIO, u) for u in (10, 20, 40)),
]


@dataclasses.dataclass(frozen=True)
class Membrane:
    """P3: valences, diffusivities and the concentrations held at both ends."""

    z: tuple[float, ...]
    d: tuple[float, ...]
    left: tuple[float, ...]
    right: tuple[float, ...]
    voltage: float = 5.0
    lam2: float = 0.01
    charge: float = -0.5

    def cell(self):
        """Return (cell, left, right) and the unit of the flux, 1/(m^2 s)."""
        unit, length, fastest = 1e23, 1e-6, 1e-9
        ions = [
            Ion(f"ion{i}", z, unit * c, diffusivity=fastest * d)
            for i, (z, d, c) in enumerate(zip(self.z, self.d, self.left, strict=True))
        ]
        cell = Cell(length, ions, fixed_charge=lambda x: unit * self.fixed_charge(x / length))
        k = cell.constants
        permittivity = self.lam2 * k.charge**2 * length**2 * unit
        permittivity /= k.permittivity * k.boltzmann * cell.temperature
        volts = self.voltage * cell.thermal_voltage
        cell = cell.replace(relative_permittivity=permittivity, potential=(volts, 0.0))
        names = [ion.name for ion in ions]
        ends = [
            {name: unit * c for name, c in zip(names, end, strict=True)}
            for end in (self.left, self.right)
        ]
        return cell, *ends, fastest * unit / length

    def fixed_charge(self, x):
        """Fixed charge at x, the membrane's faces belonging to it."""
        return self.charge * ((x >= 1 / 3) & (x <= 2 / 3))


MEMBRANES = {
    "a": Membrane((1, -1), (1, 1), (1, 1), (0.1, 0.1)),
    "b": Membrane((2, -1), (0.79, 2.03), (0.5, 1), (0.05, 0.1)),
    "c": Membrane((2, 1, -1), (0.79, 1.33, 2.03), (0.25, 0.5, 1), (0.025, 0.05, 0.1)),
}

CHARGING_LENGTH = 20.0
CHARGING_VOLTAGES = (1, 5)
CHARGING_TIMES = np.linspace(0.0, 10 * CHARGING_LENGTH, 201)  # lambda_D^2 / D; tau is 20 of them


def charging_cell(voltage):
    """P4: the cell, its unit of time [s] and of charge [C/m^2]."""
    cell = Cell.dimensionless(CHARGING_LENGTH, voltage)
    time = cell.debye_length**2 / cell.ions[0].diffusivity
    charge = cell.constants.permittivity * cell.thermal_voltage / cell.debye_length
    return cell, time, charge
