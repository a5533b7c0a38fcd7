"""FiPy: P4 coupled, implicit Euler, three sweeps a step; half a minute a call.

Drift is written as diffusion of u with the concentration for coefficient, zero on the end faces.
"""

import os

os.environ.setdefault("FIPY_SOLVERS", "scipy")

import fipy
import numpy as np
from problems import CHARGING_LENGTH, CHARGING_TIMES


class Charging:
    """P4 at one voltage on evenly spaced volumes, a step from each recorded time to the next."""

    def __init__(self, voltage, volumes=200, sweeps=3):
        self.voltage, self.volumes, self.sweeps = voltage, volumes, sweeps

    def __call__(self):
        mesh = fipy.Grid1D(nx=self.volumes, Lx=CHARGING_LENGTH)
        x = mesh.cellCenters[0].value
        ions = {z: fipy.CellVariable(mesh=mesh, value=1.0, hasOld=True) for z in (1, -1)}
        u = fipy.CellVariable(mesh=mesh, value=self.voltage * (1 - 2 * x / CHARGING_LENGTH))
        u.constrain(self.voltage, mesh.facesLeft)
        u.constrain(-self.voltage, mesh.facesRight)
        inside = 1.0 * ~mesh.exteriorFaces
        half = fipy.ImplicitSourceTerm
        equation = fipy.DiffusionTerm(1.0, var=u) + half(0.5, var=ions[1]) - half(0.5, var=ions[-1])
        for z, c in ions.items():
            drift = fipy.DiffusionTerm(z * c.faceValue * inside, var=u)
            equation &= fipy.TransientTerm(var=c) == fipy.DiffusionTerm(1.0, var=c) + drift
        solver = fipy.LinearLUSolver()
        charges = [2 * self.voltage / CHARGING_LENGTH]
        for step in np.diff(CHARGING_TIMES):
            for c in ions.values():
                c.updateOld()
            for _ in range(self.sweeps):
                equation.sweep(dt=step, solver=solver)
            space = 0.5 * (ions[1].value - ions[-1].value)
            moment = np.mean((1 - x / CHARGING_LENGTH) * space) * CHARGING_LENGTH
            charges.append(2 * self.voltage / CHARGING_LENGTH - moment)
        return np.array(charges)
