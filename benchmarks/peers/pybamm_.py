"""PyBaMM: P4 by its finite volumes and IDAKLU; built and discretised once, a call solves.

The flux is set to zero on the two end faces by a mask: with a gradient as the condition instead,
amounts are not kept. q comes from the moment of the charge, q = 2V/L - 1/2 int (1 - x/L) rho,
which loses nothing to a difference at the wall.
"""

import numpy as np
import pybamm
from problems import CHARGING_LENGTH

pybamm.set_logging_level("ERROR")

MESHES = {
    "uniform": pybamm.Uniform1DSubMesh,
    "chebyshev": pybamm.Chebyshev1DSubMesh,
}


def mesh_of(name, points, voltage):
    """Submesh by name; "graded" has faces crowding towards both walls as the layers ask."""
    if name in MESHES:
        return MESHES[name]
    layer = 2 * np.exp(-min(voltage, 8) / 2)
    s = np.linspace(0.0, 1.0, points // 2 + 1)
    half = layer * np.expm1(s * np.log1p(CHARGING_LENGTH / 2 / layer))
    faces = np.concatenate([half, CHARGING_LENGTH - half[-2::-1]])
    return pybamm.MeshGenerator(pybamm.UserSupplied1DSubMesh, {"edges": faces})


class Charging:
    """P4 at one voltage on a mesh of so many volumes; a call returns q at the given times."""

    def __init__(self, voltage, times, mesh="uniform", volumes=200, rtol=1e-6, options=None):
        self.voltage, self.times = voltage, times
        length = CHARGING_LENGTH
        x = pybamm.SpatialVariable("x", domain="cell", coord_sys="cartesian")
        face = pybamm.SpatialVariableEdge("x", domain="cell", coord_sys="cartesian")
        inside = (face > 1e-9) * (face < length - 1e-9)
        u = pybamm.Variable("u", domain="cell")
        c = {z: pybamm.Variable(f"c{z}", domain="cell") for z in (1, -1)}
        model = pybamm.BaseModel()
        none = {side: (pybamm.Scalar(0), "Neumann") for side in ("left", "right")}
        for z, ion in c.items():
            flux = -(pybamm.grad(ion) + z * ion * pybamm.grad(u)) * inside
            model.rhs[ion] = -pybamm.div(flux)
            model.initial_conditions[ion] = pybamm.Scalar(1)
            model.boundary_conditions[ion] = none
        space = 0.5 * (c[1] - c[-1])
        model.algebraic[u] = pybamm.div(pybamm.grad(u)) + space
        model.initial_conditions[u] = voltage * (1 - 2 * x / length)
        model.boundary_conditions[u] = {
            "left": (pybamm.Scalar(voltage), "Dirichlet"),
            "right": (pybamm.Scalar(-voltage), "Dirichlet"),
        }
        moment = pybamm.Integral((1 - x / length) * space, x)
        model.variables = {"q": 2 * voltage / length - moment}
        geometry = pybamm.Geometry({"cell": {x: {"min": 0.0, "max": length}}})
        grid = pybamm.Mesh(geometry, {"cell": mesh_of(mesh, volumes, voltage)}, {x: volumes})
        pybamm.Discretisation(grid, {"cell": pybamm.FiniteVolume()}).process_model(model)
        self.model = model
        self.solver = pybamm.IDAKLUSolver(
            rtol=rtol, atol=1e-2 * rtol, output_variables=["q"], options=options or {}
        )

    def __call__(self):
        found = self.solver.solve(self.model, [0.0, self.times[-1]], t_interp=self.times)
        return found["q"].entries if hasattr(found["q"], "entries") else found["q"](self.times)
