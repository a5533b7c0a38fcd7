"""Certificates: each criterion decides by itself, and energies agree with forces."""

import dataclasses

import numpy as np
import pytest

from pnpfuse_solvers import Cell, Ion, Outcome, outcome, solve_equilibrium
from pnpfuse_solvers.discrete import discretise


def state(cell, x, u):
    """A Solution at a given potential, converged or not."""
    problem = discretise(cell, x * cell.length)
    blank = problem.solve(np.zeros_like(x), 1e-2)
    return problem.at_potential(u, blank)


def test_layer_resolution_at_a_wall():
    """Weak potential: only spacing over Debye length at the wall counts."""
    cell = Cell.dimensionless(30.0, 0.0, contact="reservoir")
    x = np.linspace(0.0, 1.0, 11)
    u = 1e-3 * np.exp(-30 * x)
    assert state(cell, x, u).layer_resolution() == pytest.approx(3.0, rel=1e-2)
    assert state(cell, x, 0.0 * u).layer_resolution() == 0.0


def test_layer_resolution_inside():
    """A step of u between two nodes inside, where ions are."""
    cell = Cell.dimensionless(0.1, 0.0, valences=(2, -1), concentrations=(1, 2))
    x = np.linspace(0.0, 1.0, 21)
    u = np.where(x > 0.5, 0.8, 0.0)
    assert state(cell, x, u).layer_resolution() == pytest.approx(1.6, rel=1e-9)


def test_layer_resolution_ignores_where_hardly_any_ion_is():
    """The same step where a species holds less than a thousandth of itself counts for the other."""
    cell = Cell.dimensionless(0.1, 0.0, contact="reservoir")
    x = np.linspace(0.0, 1.0, 2001)
    u = np.where(x > 0.5, 0.8, 0.0)  # the interval of the step holds 1/2000 of either species
    assert state(cell, x, u).layer_resolution() < 0.1


def test_a_large_residual_is_not_converged(monkeypatch):
    monkeypatch.setattr(outcome, "LARGEST_VIOLATION", 1e-30)
    solution = solve_equilibrium(Cell.dimensionless(4, 5), throw=False)
    assert solution.attrs["outcome"] == Outcome.STALLED
    assert float(solution.residual) > 1e-30


def test_residual_measures_gausss_law():
    cell = Cell.dimensionless(4, 1)
    x = np.linspace(0.0, 1.0, 101)
    straight = state(cell, x, 1.0 - 2.0 * x)  # no bend, so all the charge is missing from it
    w_charge = np.abs(straight.problem.w * straight.charge)[1:-1].max()
    assert straight.residual() == pytest.approx(w_charge / 2.0, rel=1e-9)


@pytest.mark.parametrize("difference", [1e-16, 1e-13, 1e-10, 1e-6])
def test_nearly_equal_potentials(difference):
    cell = Cell.dimensionless(4, 0)
    solution = solve_equilibrium(cell.replace(potential=(0.3, 0.3 + difference)))
    assert solution.attrs["outcome"] == "converged"


def dielectric(x):
    return 20.0 + 60.0 * x / 5e-9


def charged(x):
    return 2e25 * np.sin(3e9 * x)


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
@pytest.mark.parametrize("stern", [(0.0, 0.0), (2e-10, 6e-10)])
def test_energy_agrees_with_charge_and_potential(contact, stern):
    """d Omega / d phi_end = - sigma_end, with everything that a cell can have."""
    ions = (Ion("Ca2+", 2, 3e25), Ion("Na+", 1, 1e25), Ion("Cl-", -1, 7e25))
    cell = Cell(
        5e-9, ions, relative_permittivity=dielectric, potential=(0.05, -0.08), contact=contact,
        fixed_charge=charged, stern_thickness=stern,
    )  # fmt: skip
    sigma = solve_equilibrium(cell, order=6).surface_charge.values
    step = 1e-3
    for end in (0, 1):
        shifted = []
        for sign in (1, -1):
            potential = list(cell.potential)
            potential[end] += sign * step
            moved = dataclasses.replace(cell, potential=tuple(potential))
            shifted.append(float(solve_equilibrium(moved, order=6).free_energy))
        force = (shifted[0] - shifted[1]) / (2 * step)
        assert force == pytest.approx(-sigma[end], rel=2e-3)


def test_electrode_potential_behind_a_stern_layer():
    """eps (phi_metal - phi_plane)/d = sigma, with the permittivity of that end."""
    cell = Cell(
        5e-9, (Ion("a", 1, 5e25), Ion("b", -1, 5e25)), relative_permittivity=dielectric,
        potential=(0.05, -0.08), stern_thickness=(2e-10, 6e-10),
    )  # fmt: skip
    solution = solve_equilibrium(cell)
    drop = solution.electrode_potential.values - solution.potential.values[[0, -1]]
    epsilon = cell.constants.permittivity * np.array([20.0, 80.0])
    sigma = epsilon * drop / np.array(cell.stern_thickness)
    np.testing.assert_allclose(solution.surface_charge, sigma, rtol=1e-9)
