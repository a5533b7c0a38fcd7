"""Meshes that follow the cell: nodes on steps, and full order in spite of them."""

import numpy as np
import pytest

from pnpfuse_solvers import Cell, Ion, grid, solve_equilibrium
from pnpfuse_solvers.placement import breakpoints

SALT = (Ion("Na+", 1, 6e25), Ion("Cl-", -1, 6e25))


def membrane(x):
    return np.where((x > 3.217e-8) & (x < 7.1e-8), -5e25, 1e25 * np.sin(x / 1e-8))


def dielectric(x):
    return np.where(x < 4.321e-8, 80.0, 20.0)


def test_steps_are_found_and_steep_slopes_are_not():
    cell = Cell(1e-7, SALT, fixed_charge=membrane, relative_permittivity=dielectric)
    np.testing.assert_allclose(breakpoints(cell), [3.217e-8, 4.321e-8, 7.1e-8], rtol=1e-9)
    steep = cell.replace(
        fixed_charge=lambda x: 1e25 * np.tanh((x - 5e-8) / 1e-12), relative_permittivity=80.0
    )
    assert breakpoints(steep).size == 0
    assert breakpoints(Cell(1e-7, SALT)).size == 0


def test_nodes_stand_on_steps():
    x = grid.snapped(np.linspace(0.0, 1.0, 11), np.array([0.33, 0.34, 0.999]))
    assert {0.33, 0.34, 0.999} <= set(x)
    assert (np.diff(x) > 0).all() and (x[0], x[-1]) == (0.0, 1.0)
    solution = solve_equilibrium(Cell(1e-7, SALT, relative_permittivity=dielectric))
    assert np.abs(solution.x.values - 4.321e-8).min() < 1e-17


@pytest.mark.parametrize("profile", ["fixed_charge", "relative_permittivity"])
@pytest.mark.parametrize("order, rate", [(2, 1.9), (4, 3.6), (6, 5.3)])
def test_steps_cost_no_order(profile, order, rate):
    given = {"relative_permittivity": 78.0, "potential": (0.1, -0.1)}
    given[profile] = membrane if profile == "fixed_charge" else dielectric
    cell = Cell(1e-7, SALT, **given)
    exact = float(solve_equilibrium(cell, nodes=1601, order=6).surface_charge[0])
    coarse, fine = (
        abs(float(solve_equilibrium(cell, nodes=n, order=order).surface_charge[0]) / exact - 1)
        for n in (101, 201)
    )
    assert np.log2(coarse / fine) > rate


def test_a_thin_membrane_in_a_long_cell_is_not_lost():
    """10 nm of charge in 0.1 mm: Donnan's potential at its middle, whatever the mesh."""
    ions = (Ion("a", 1, 6e23), Ion("b", -1, 6e23))
    middle, half = 3.0123e-5, 2e-8
    cell = Cell(
        1e-4, ions, relative_permittivity=78.0, contact="reservoir",
        fixed_charge=lambda x: np.where(np.abs(x - middle) < half, 1e26, 0.0),
    )  # fmt: skip
    donnan = np.arcsinh(1e26 / 1.2e24)
    for nodes in (201, 401):
        solution = solve_equilibrium(cell, nodes=nodes)
        assert float(solution.reduced_potential.max()) == pytest.approx(donnan, abs=0.01)


def test_a_thin_smooth_sheet_keeps_its_charge():
    length, width, sheet = 5e-9, 5e-14, 0.02
    k = Cell(1e-9, SALT).constants
    top = sheet / k.charge / (np.sqrt(2 * np.pi) * width)
    cell = Cell(
        length, SALT, relative_permittivity=78.0,
        fixed_charge=lambda x: top * np.exp(-0.5 * ((x - 0.4321 * length) / width) ** 2),
    )  # fmt: skip
    solution = solve_equilibrium(cell)
    # The salt is neutral as a whole, so the electrodes carry the sheet's counter-charge.
    assert float(solution.surface_charge.sum()) == pytest.approx(-sheet, rel=1e-3)


def test_a_function_that_writes_into_its_argument_does_no_harm():
    def permittivity(x):
        x[...] = 0.5
        return 2.0

    solution = solve_equilibrium(Cell(1e-8, SALT, relative_permittivity=permittivity))
    assert (np.diff(solution.x) > 0).all()
