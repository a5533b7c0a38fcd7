"""Both sides of PMR Eq. (3) against elliptic integrals and the scheme's own charges."""

import numpy as np
import pytest
from reference import ClosedCell

from pnpfuse_solvers import Cell, Ion, solve_equilibrium, solve_steady, solve_transient
from pnpfuse_solvers.gauss import gauss_law

SALT = (Ion("Na+", 1, 1e24), Ion("Cl-", -1, 1e24))


@pytest.mark.parametrize("ratio, voltage", [(0.118338, 5), (4, 1), (4, 10), (30, 10)])
def test_left_side_against_elliptic_integrals(ratio, voltage):
    """Slope of the potential at the wall and at the mid-plane, where the interface is."""
    cell = Cell.dimensionless(ratio, voltage)
    exact = ClosedCell(ratio, voltage)
    unit = cell.constants.permittivity * cell.thermal_voltage / cell.length
    left = float(exact.slope(exact.voltage) - exact.s) * unit
    found = solve_equilibrium(cell, order=4).pnp.gauss()
    assert float(found.position) == pytest.approx(cell.length / 2, rel=1e-9)
    assert float(found.displacement) == pytest.approx(left, rel=2e-6)


@pytest.mark.parametrize("ratio, voltage", [(0.118338, 5), (4, 1), (4, 10), (30, 10), (100, 40)])
def test_both_sides_meet(ratio, voltage):
    """The two sides come from different variables: they meet as well as the solution is good."""
    coarse, fine = (
        solve_equilibrium(Cell.dimensionless(ratio, voltage), nodes=n, order=4).pnp.gauss()
        for n in (201, 801)
    )
    assert float(fine.gap) < 1e-8 and float(fine.gap) < float(coarse.gap) / 20 + 1e-9


def test_the_paper_s_form_holds_where_cations_are_gone():
    """PMR Eq. (3) leaves the cations out: right under a high voltage, wrong under a low one."""
    found = [solve_equilibrium(Cell.fig8(v), order=4).pnp.gauss() for v in (1, 5, 20)]
    gaps = [float(one.anions_gap) for one in found]
    assert gaps[0] > 0.2 and gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-7
    # Electrodes the other way round leave the anions at the far end: the form is then void.
    turned = solve_equilibrium(Cell.fig8(-20), order=4).pnp.gauss()
    assert float(turned.gap) < 1e-7 and float(turned.anions_gap) > 0.99


def test_share_of_the_cations_in_closed_form():
    """Fig. 8's field is straight: between 0 and b both kinds fall off as exp(-+2 U x/l)."""
    for volts in (1.0, 3.0):
        solution = solve_equilibrium(Cell.dimensionless(1e-3, volts), order=4)
        found = solution.pnp.gauss()
        cations, anions = 1 - np.exp(-volts), np.exp(volts) - 1
        assert float(found.anions_gap) == pytest.approx(cations / (cations + anions), rel=2e-5)


def dielectric(x):
    return np.where(x < 4e-9, 80.0, 20.0)


def charged(x):
    return 2e25 * np.sin(3e8 * x)


def test_a_dielectric_step_fixed_charge_and_the_whole_cell():
    cell = Cell(1e-8, SALT, relative_permittivity=dielectric, potential=(0.1, -0.05),
                fixed_charge=charged)  # fmt: skip
    solution = solve_equilibrium(cell, nodes=1601, order=4)
    for part in (0.1, 0.4, 0.47, 1.0):
        found = gauss_law(solution, cell, part * cell.length)
        assert float(found.gap) < 1e-5
    assert float(found.charge) == pytest.approx(float(solution.surface_charge.sum()), rel=1e-4)
    with pytest.raises(ValueError, match="relative_permittivity: the cell held the Python"):
        solution.pnp.gauss()
    np.testing.assert_allclose(solution.pnp.gauss(2e-9, cell).gap, 0.0, atol=1e-5)


def test_a_current_and_one_time_of_a_run():
    cell = Cell(2e-8, SALT, relative_permittivity=78.0, potential=(0.1, 0.0))
    ends = {"Na+": 1e24, "Cl-": 2e24}, {"Na+": 2e23, "Cl-": 1e23}
    steady = solve_steady(cell, *ends, nodes=801, order=4)
    assert float(steady.pnp.gauss(at=7e-9).gap) < 1e-7
    run = solve_transient(Cell.dimensionless(10, 3), [1e-4, 1e-3])
    assert float(run.isel(time=0).pnp.gauss(at=1e-7).gap) < 1e-3
    with pytest.raises(ValueError, match="several times; take one"):
        run.pnp.gauss(at=1e-7)


def test_bad_arguments():
    solution = solve_equilibrium(Cell.dimensionless(1e4, 1), nodes=201, order=4)
    with pytest.raises(ValueError, match="no interface .not determined.*give a position in m"):
        solution.pnp.gauss()
    for at in (0.0, -1e-9, 1.0, np.nan):
        with pytest.raises(ValueError, match="at: got"):
            solution.pnp.gauss(at)
    with pytest.raises(ValueError, match="it holds no electric_field"):
        solution.drop_vars("electric_field").pnp.gauss(1e-9)
