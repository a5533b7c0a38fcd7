"""The interface: where it is, how sure, and when there is none."""

import numpy as np
import pytest

from pnpfuse_solvers import Cell, Ion, solve_equilibrium
from pnpfuse_solvers.interface import Profiles, balance_of, crossings, locate, separation


def solve(ratio, voltage, **options):
    return solve_equilibrium(Cell.dimensionless(ratio, voltage, **options))


@pytest.mark.parametrize("ratio", [0.1, 1, 4, 30])
@pytest.mark.parametrize("voltage", [3, 20])
def test_symmetry_puts_it_in_the_middle(ratio, voltage):
    solution = solve(ratio, voltage)
    assert float(solution.interface / solution.length) == pytest.approx(0.5, abs=1e-9)
    assert solution.interface_reason.item() == ""


def test_it_is_where_the_potential_says():
    """u(b) = ln(c_+0/c_-0)/(z_+ - z_-) against a reservoir."""
    solution = solve(1.0, 3.0, valences=(2, -1), concentrations=(1, 3), contact="reservoir")
    u = float(solution.reduced_potential.interp(x=float(solution.interface)))
    assert u == pytest.approx(np.log(1 / 3) / 3, abs=1e-5)


def test_width_in_a_linear_field():
    """In an almost empty cell u = U (1 - 2x): the balance -2u runs from -ln 9 to ln 9."""
    solution = solve(1e-3, 10.0)
    width = float(solution.interface_width / solution.length)
    assert width == pytest.approx(np.log(9) / 20, rel=1e-5)


def test_width_is_cut_at_the_electrodes():
    solution = solve(1e-3, 1.0)
    assert float(solution.interface_width) == pytest.approx(float(solution.length))


@pytest.mark.parametrize("ratio, voltage", [(1e4, 1), (1e4, 20), (60, 1), (100, 5)])
def test_a_neutral_bulk_does_not_determine_it(ratio, voltage):
    solution = solve(ratio, voltage)
    assert np.isnan(solution.interface) and np.isnan(solution.interface_width)
    assert "neutral bulk" in solution.interface_reason.item()
    assert float(solution.interface_uncertainty) > 0.01 * float(solution.length)


def test_no_voltage_no_interface():
    solution = solve(4, 0)
    assert "over the whole cell" in solution.interface_reason.item()
    np.testing.assert_allclose(solution.separation, 0.5, atol=1e-12)


def test_one_kind_in_the_majority():
    solution = solve(0.1, 0.2, concentrations=(1, 9))
    assert solution.interface_reason.item() == "none: anions are in the majority everywhere"
    assert np.isnan(solution.separation).all()


def test_one_sign_only():
    solution = solve(1, 2, valences=(1, 2), concentrations=(1, 1))
    assert "both signs" in solution.interface_reason.item()


def test_several_are_named():
    def fixed(x):
        return 4e20 * np.sin(3 * np.pi * x / 1e-6)

    ions = (Ion("a", 1, 1e20), Ion("b", -1, 1e20))
    solution = solve_equilibrium(Cell(1e-6, ions, contact="reservoir", fixed_charge=fixed))
    reason = solution.interface_reason.item()
    assert reason == "several: the ions balance at 0.3333, 0.6667 of the cell"


def profiles(x, function, slope):
    """Two species whose balance is the given function."""
    return Profiles(
        x, np.array([function(x), 0 * x]), np.array([slope(x), 0 * x]), np.array([1.0, -1.0])
    )


def crossed(given):
    """Where the balance is 0."""
    return crossings(given.x, *balance_of(given.log_c, given.slope, given.z), 0.0)


def test_locate_on_a_given_balance():
    x = np.linspace(0.0, 1.0, 11)
    rising = profiles(x, lambda x: 8.0 * (x - 0.33), lambda x: 8.0 + 0 * x)
    found = locate(rising, 1e-3)
    assert found.position == pytest.approx(0.33, abs=1e-14)
    assert found.uncertainty == pytest.approx(1e-3 / 8)
    assert found.width == pytest.approx(2 * np.log(9) / 8)
    falling = profiles(x, lambda x: -8.0 * (x - 0.33), lambda x: -8.0 + 0 * x)
    assert locate(falling, 1e-3).position == pytest.approx(0.33, abs=1e-14)
    assert locate(falling, 1e-3).width == pytest.approx(found.width)
    touching = locate(profiles(x, lambda x: (x - 0.5) ** 2, lambda x: 2 * (x - 0.5)), 1e-3)
    assert np.isnan(touching.position) and "without changing order" in touching.reason


def test_crossings_are_of_fourth_order():
    errors = []
    for nodes in (8, 15, 29):
        x = np.linspace(0.0, 1.0, nodes)
        curved = profiles(x, lambda x: np.exp(2 * x) - 3.0, lambda x: 2 * np.exp(2 * x))
        errors.append(abs(crossed(curved)[0] - np.log(3.0) / 2))
    assert errors[-1] < 1e-7 and errors[0] / errors[-1] > 2.0**6


def test_balance_of_several_species():
    log_c = np.log([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    slope = np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 3.0]])
    several = Profiles(np.array([0.0, 1.0]), log_c, slope, np.array([1.0, 2.0, -1.0]))
    balance, slopes = balance_of(several.log_c, several.slope, several.z)
    np.testing.assert_allclose(balance, np.log([4 / 5, 1.0]))
    np.testing.assert_allclose(slopes, [(1 * 1 + 3 * 2) / 4 + 1, -3.0])
    alone = Profiles(np.array([0.0, 1.0]), log_c, slope, np.array([1.0, 2.0, 3.0]))
    assert locate(alone, 1e-3).reason.startswith("none")


def test_separation_of_given_profiles():
    """Cations exp(4x), anions exp(-3x): shares in closed form."""
    x = np.linspace(0.0, 1.0, 41)
    log_c = np.array([4 * x, -3 * x + 1.0, 0 * x])
    slope = np.outer([4.0, -3.0, 0.0], np.ones_like(x))
    given = Profiles(x, log_c, slope, np.array([1.0, -1.0, 0.0]))
    share = separation(given, 0.37)
    cations = (np.exp(4) - np.exp(4 * 0.37)) / (np.exp(4) - 1)
    anions = (1 - np.exp(-3 * 0.37)) / (1 - np.exp(-3))
    np.testing.assert_allclose(share[:2], [cations, anions], rtol=1e-9)
    assert np.isnan(share[2])
    turned = Profiles(x, log_c[:, ::-1], -slope[:, ::-1], given.z)
    np.testing.assert_allclose(separation(turned, 0.63), share, rtol=1e-9)
    assert np.isnan(separation(given, np.nan)).all()


def test_an_unresolved_layer_does_not_overflow():
    x = np.linspace(0.0, 1.0, 11)
    steep = profiles(x, lambda x: 30 * (x - 0.5), lambda x: 1e9 * (x + 1))
    assert 0.0 < crossed(steep)[0] < 1.0
    assert np.isfinite(separation(steep, 0.5)).all()
