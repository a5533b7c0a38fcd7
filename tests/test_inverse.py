"""From (n, b) back to a cell: round trip, symmetry, the closed form, and where there is none."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from pnpfuse import cell_for, cell_with, hyperparameters_from
from pnpfuse_solvers import solve_equilibrium


def charge_ratio(cell):
    return -cell.ions[1].valence


@settings(max_examples=40, deadline=None)
@given(n=st.floats(0.1, 30), b=st.floats(0.01, 0.99), voltage=st.floats(20, 100))
def test_round_trip(n, b, voltage):
    found = hyperparameters_from(solve_equilibrium(cell_with(n, b, voltage=voltage)))
    assert found.n == pytest.approx(n, rel=1e-12)
    assert found.b == pytest.approx(b, abs=1e-8)


@pytest.mark.parametrize("voltage", [1, 5, 10])
@pytest.mark.parametrize("b", [0.01, 0.3, 0.5, 0.99])
def test_round_trip_at_low_voltages(voltage, b):
    """A better solver finds the same interface: b is that of the cell, not of its mesh."""
    cell = cell_with(4, b, voltage=voltage)
    assert hyperparameters_from(solve_equilibrium(cell)).b == pytest.approx(b, abs=1e-8)
    finer = solve_equilibrium(cell, nodes=1601, order=6)
    assert hyperparameters_from(finer).b == pytest.approx(b, abs=1e-8)


def test_it_undoes_the_cell_of_two_widths():
    given_cell = cell_for({"image": 2048, "text": 768}, "image", n=3, voltage=12)
    b = hyperparameters_from(solve_equilibrium(given_cell)).b
    cell = cell_with(3, b, voltage=12)
    assert charge_ratio(cell) == pytest.approx(768 / 2048, rel=1e-9)
    assert cell.length_ratio == pytest.approx(3, rel=1e-12)
    assert cell.net_charge == pytest.approx(0, abs=1e-9 * cell.ions[0].concentration)
    assert [ion.name for ion in cell.ions] == ["shared", "specific"]
    assert cell.potential[0] < 0 < cell.potential[1]


@pytest.mark.parametrize("b, voltage", [(0.1, 3), (0.3, 0.5), (0.6, 2), (0.95, 20)])
def test_unscreened_it_is_the_root_of_a_closed_form(b, voltage):
    """A straight potential: both species are exponentials, which cross at a known place."""

    def place(log_r):
        r, drop = math.exp(log_r), 2 * voltage
        parts = math.log(-math.expm1(-r * drop)) - math.log(-math.expm1(-drop))
        return (r + parts / drop) / (1 + r)

    log_r = brentq(lambda x: place(x) - b, -8, 8, xtol=1e-14)
    cell = cell_with(1e-4, b, voltage=voltage)
    assert charge_ratio(cell) == pytest.approx(math.exp(log_r), rel=1e-7)


@pytest.mark.parametrize("n", [0.5, 4, 15])
def test_the_mirrored_cell(n):
    """Mirrored, with all charges over r, a cell is that of 1/r and 1 - b at r times the voltage."""
    r = charge_ratio(cell_with(n, 0.3, voltage=20))
    assert charge_ratio(cell_with(n, 0.7, voltage=20 * r)) == pytest.approx(1 / r, rel=1e-8)
    assert charge_ratio(cell_with(n, 0.5, voltage=20)) == pytest.approx(1, rel=1e-9)


def test_strong_field():
    for b in (1 / 33, 3 / 11, 0.9):
        assert charge_ratio(cell_with(4, b, voltage=2000)) == pytest.approx(b / (1 - b), rel=1e-8)


def test_a_neutral_middle_determines_no_interface():
    """What would do is said, and does."""
    with pytest.raises(ValueError, match="b: got 0.3, .*a voltage of 10 does") as refused:
        cell_with(100, 0.3, voltage=5)
    assert "no interface (not determined" in str(refused.value)
    assert hyperparameters_from(solve_equilibrium(cell_with(100, 0.3, voltage=10))).b == (
        pytest.approx(0.3, abs=1e-8)
    )


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: cell_with(0, 0.5), "n: got 0"),
        (lambda: cell_with("4", 0), "b: got 0"),
        (lambda: cell_with(4, 1), "b: got 1; give a ratio above 0 and below 1"),
        (lambda: cell_with(4, float("nan")), "b: got nan"),
        (lambda: cell_with(4, 0.5, voltage=-20), "voltage: got -20"),
        (lambda: cell_with(1e6, 0.3, voltage=1), "give a smaller n"),
        (lambda: cell_with(4, 1 - 1e-9, voltage=1e4), "not solved .* further from 0 and 1"),
        (lambda: cell_with(4, 0.3, voltage=1e300), "voltage"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
