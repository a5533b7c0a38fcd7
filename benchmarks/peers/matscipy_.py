"""matscipy's PoissonNernstPlanckSystem: the closed cell by its own Newton solver, uniform mesh."""

import logging

import numpy as np
import scipy.constants as si
from matscipy.electrochemistry import PoissonNernstPlanckSystem

logging.getLogger("matscipy").setLevel(logging.ERROR)


def closed(ratio, voltage, segments=100):
    """Solve the closed 1:1 cell; return (x in cell lengths, u, share of each ion that is lost).

    Set-up is part of the call: the class is initialised anew for each voltage.
    """
    temperature, permittivity, concentration = 300.0, 78.0, 1.0  # mol/m^3; only ratio counts
    strength = 2 * concentration * si.N_A * si.e**2
    debye = np.sqrt(permittivity * si.epsilon_0 * si.k * temperature / strength)
    system = PoissonNernstPlanckSystem(
        c=np.array([concentration, concentration]),
        z=np.array([1, -1]),
        L=ratio * debye,
        T=temperature,
        delta_u=2 * voltage * si.k * temperature / si.e,
        relative_permittivity=permittivity,
        N=segments,
        e=1e-10,
        maxit=60,
    )
    system.use_standard_cell_bc()
    system.solve()
    x = np.linspace(0.0, 1.0, segments + 1)
    ions = np.trapezoid(system.nij, x, axis=1) / system.c_scaled
    return x, system.uij, float(np.abs(1.0 - ions).max())
