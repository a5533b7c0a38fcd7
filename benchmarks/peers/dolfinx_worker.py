"""Finite elements by DOLFINx 0.5, in an interpreter of its own: JSON lines in, JSON lines out.

A request is answered by setting the start values and running Newton's method with LU, and with the
seconds which that took. A problem is set up once and kept, as one does who solves it many times;
with "whole" it is set up anew for each request and that is counted (mesh, spaces, forms out of the
form compiler's cache, allocation), as one does who solves another problem each time.
"""

import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import ufl
from dolfinx import __version__, fem
from dolfinx.fem import petsc
from dolfinx.mesh import create_mesh
from mpi4py import MPI
from petsc4py import PETSc

JIT = {"cffi_extra_compile_args": ["-O3", "-march=native"]}


class Problem:
    """F(w; v) = 0 on an interval mesh, Newton from a start, until a step is below 1e-10."""

    def __init__(self, nodes, degree, unknowns):
        n = len(nodes)
        cells = np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)
        corner = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.interval, 1))
        self.mesh = create_mesh(MPI.COMM_SELF, cells, np.array(nodes)[:, None], corner)
        line = ufl.FiniteElement("Lagrange", ufl.interval, degree)
        self.space = fem.FunctionSpace(self.mesh, ufl.MixedElement([line] * unknowns))
        self.w, self.v = fem.Function(self.space), ufl.TestFunction(self.space)
        self.parts = [self.space.sub(i).collapse() for i in range(unknowns)]
        self.x = [part.tabulate_dof_coordinates()[:, 0] for part, _ in self.parts]
        self.start = np.zeros(self.w.x.array.size)

    def begin(self, i, values):
        """Start values of unknown i at its points, its ends being held there."""
        self.start[self.parts[i][1]] = values

    def ready(self, form):
        """Compile the form and its derivative, allocate."""
        ends = [
            np.array(m)[[x.argmin(), x.argmax()]]
            for (_, m), x in zip(self.parts, self.x, strict=True)
        ]
        held = np.sort(np.concatenate(ends)).astype(np.int32)
        zero = fem.Function(self.space)
        self.held = [fem.dirichletbc(zero, held)]
        self.rows = held
        self.form = fem.form(form, jit_params=JIT)
        self.slope = fem.form(ufl.derivative(form, self.w), jit_params=JIT)
        self.matrix, self.vector = petsc.create_matrix(self.slope), petsc.create_vector(self.form)
        self.step = self.matrix.createVecRight()
        self.lu = PETSc.KSP().create(MPI.COMM_SELF)
        self.lu.setType("preonly")
        self.lu.getPC().setType("lu")
        self.lu.getPC().setFactorSolverType("petsc")
        self.lu.setOperators(self.matrix)

    def solve(self):
        """Newton's method; returns the number of iterations."""
        values = self.w.x.array
        values[:] = self.start
        for iteration in range(1, 61):
            with self.vector.localForm() as local:
                local.set(0.0)
            petsc.assemble_vector(self.vector, self.form)
            self.vector.array[self.rows] = 0.0
            self.matrix.zeroEntries()
            petsc.assemble_matrix(self.matrix, self.slope, bcs=self.held)
            self.matrix.assemble()
            self.lu.solve(self.vector, self.step)
            step = self.step.array
            values -= step
            if not np.isfinite(step).all():
                break
            if np.abs(step).max() < 1e-10:
                return iteration
        raise ArithmeticError("Newton's method did not converge")

    def part(self, i):
        """Values of unknown i at its points."""
        return self.w.x.array[self.parts[i][1]]


class Membrane(Problem):
    """P3; fluxes by the weak form itself, which doubles their order."""

    def __init__(self, nodes, degree, z, d, left, right, voltage, lam2, charge):
        species = len(z)
        super().__init__(nodes, degree, species + 1)
        u, *c = ufl.split(self.w)
        weight, *tests = ufl.split(self.v)
        constant = fem.FunctionSpace(self.mesh, ("DG", 0))
        fixed = fem.Function(constant)
        middle = constant.tabulate_dof_coordinates()[:, 0]
        fixed.x.array[:] = charge * ((middle > 1 / 3) & (middle < 2 / 3))
        dx = ufl.dx(metadata={"quadrature_degree": max(3 * degree - 2, 2)})
        space = sum(z[i] * c[i] for i in range(species)) + fixed
        form = (lam2 * u.dx(0) * weight.dx(0) - space * weight) * dx
        fluxes = []
        for i in range(species):
            flux = -d[i] * (c[i].dx(0) + z[i] * c[i] * u.dx(0))
            form -= flux * tests[i].dx(0) * dx
            fluxes.append(fem.form(flux * dx, jit_params=JIT))
            x = self.x[1 + i]
            self.begin(1 + i, left[i] ** (1 - x) * right[i] ** x)
        self.begin(0, voltage * (1 - self.x[0]))
        self.ready(form)
        self.fluxes = fluxes

    def answer(self):
        iterations = self.solve()
        flux = [fem.assemble_scalar(form) for form in self.fluxes]
        return lambda: {"flux": flux, "iterations": iterations}


class Reservoir(Problem):
    """P2: u'' = k^2 sinh u from a start given at all points."""

    def __init__(self, nodes, degree, ratio, voltage):
        super().__init__(nodes, degree, 1)
        (u,), (weight,) = ufl.split(self.w), ufl.split(self.v)
        dx = ufl.dx(metadata={"quadrature_degree": 2 * degree + 2})
        form = (u.dx(0) * weight.dx(0) + ratio**2 * ufl.sinh(u) * weight) * dx
        x = self.x[0]
        q = np.tanh(voltage / 4) * np.exp(-ratio * np.array([x, 1 - x]))
        start = 4 * np.arctanh(q[0]) - 4 * np.arctanh(q[1])
        start[[x.argmin(), x.argmax()]] = voltage, -voltage
        self.begin(0, start)
        self.ready(form)

    def answer(self):
        iterations = self.solve()
        u = self.part(0).copy()
        return lambda: {"x": self.x[0].tolist(), "u": u.tolist(), "iterations": iterations}


def main():
    """Answer requests {"problem", ...} until the input ends."""
    known, problems = {"membrane": Membrane, "reservoir": Reservoir}, {}
    print(json.dumps({"dolfinx": __version__}), flush=True)
    for line in sys.stdin:
        try:
            given = json.loads(line)
            whole, make = given.pop("whole"), known[given.pop("problem")]
            if not whole and line not in problems:
                problems[line] = make(**given)
            busy, begin = time.process_time(), time.perf_counter()
            written = (make(**given) if whole else problems[line]).answer()
            seconds = time.perf_counter() - begin, time.process_time() - busy
            reply = written() | {"seconds": seconds}
        except Exception as error:  # whatever it is, the other side must hear of it
            reply = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
