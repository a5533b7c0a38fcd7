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
