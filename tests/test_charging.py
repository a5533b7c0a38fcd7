"""Ions in time against linear theory, collocation, other integrators, and their own limits."""

import json

import numpy as np
import p4_reference
import pytest
from mpmath import invertlaplace, mp
from p4_reference import clock
from scipy.integrate import solve_ivp

from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient, transport
from pnpfuse_solvers import clock as clock_module
from pnpfuse_solvers.discrete import discretise

RATIO = 20.0


def linear_charge(ratio, time):
    """Charge of an electrode in units of (kB T/e) eps / l per unit voltage, weak voltages.

    The linearised equations between blocking electrodes, solved by Laplace's transform: with
    k^2 = K^2 + s (lengths in half cells, D = 1),
    q(s) = k cosh k / s / (K^2/k^2 sinh k + s/k cosh k).
    """
    wave = mp.mpf(ratio) / 2

    def transform(s):
        k = mp.sqrt(wave**2 + s)
        return k / s / (wave**2 / k**2 * mp.tanh(k) + s / k)

    return 2 * float(invertlaplace(transform, time, method="talbot"))


def test_weak_voltage_against_laplace():
    volts = 1e-3
    cell = Cell.dimensionless(RATIO, volts)
    times = clock(cell) * np.array([0.05, 0.2, 0.5, 1.0, 3.0])
    solution = solve_transient(cell, times, nodes=801, rtol=1e-8)
    unit = cell.constants.permittivity * cell.thermal_voltage / cell.length * volts
    half = cell.length**2 / 4 / 1e-9
    exact = [linear_charge(RATIO, t / half) for t in times]
    np.testing.assert_allclose(solution.electrode_charge[:, 0] / unit, exact, rtol=1e-4)
    np.testing.assert_allclose(
        solution.electrode_charge.sum("electrode"), 0.0, atol=1e-9 * unit * exact[-1]
    )


@pytest.mark.parametrize("voltage", [1, 5])
def test_charging_against_chebyshev_collocation(voltage):
    """Charge over time against an independent method; p4_reference.py says how it was made."""
    cell = Cell.dimensionless(RATIO, voltage)
    exact = np.array(json.loads(p4_reference.FILE.read_text())[str(voltage)])
    unit = cell.constants.permittivity * cell.thermal_voltage / cell.debye_length
    times = clock(cell) * np.array(p4_reference.TIMES)

    def error(**options):
        found = solve_transient(cell, times, **options)
        return np.abs(found.electrode_charge.values / unit - np.outer(exact, [1, -1])).max()

    assert error() < 1e-5
    assert error(nodes=2401, rtol=1e-9) < 1e-8
    assert error(nodes=200) < 1e-4  # an even mesh is the coarser of the two


def test_the_reference_can_be_made_again():
    exact = json.loads(p4_reference.FILE.read_text())["1"]
    np.testing.assert_allclose(p4_reference.charges(1.0, 65, rtol=1e-7), exact, rtol=1e-6)


def test_charging_time():
    """A thin double layer at a weak voltage charges as exp(-t / tau_c).

    tau_c = lambda_D L / D for electrodes 2 L apart, to the first order of lambda_D / L: Bazant,
    Thornton and Ajdari, Phys. Rev. E 70 (2004) 021506.
    """
    cell = Cell.dimensionless(400.0, 1e-3)
    tau = cell.debye_length * cell.length / 2e-9
    times = tau * np.linspace(0.5, 8.0, 60)
    charge = solve_transient(cell, times, nodes=601, rtol=1e-8).electrode_charge.values[:, 0]
    rest = float(solve_equilibrium(cell, order=6).surface_charge[0])
    rate = -np.polyfit(times[:40], np.log(1.0 - charge[:40] / rest), 1)[0]
    assert rate * tau == pytest.approx(1.0, rel=1e-2)


def test_order_in_space_and_its_estimate():
    cell = Cell.dimensionless(RATIO, 3.0)
    times = clock(cell) * np.array([0.3, 1.0, 3.0])
    best = solve_transient(cell, times, nodes=1601, rtol=1e-9)
    for order, factor in ((2, 4.0), (4, 16.0)):
        errors = []
        for nodes in (101, 201):
            found = solve_transient(cell, times, nodes=nodes, rtol=1e-9, order=order)
            here = (found.electrode_charge - best.electrode_charge) / best.electrode_charge
            errors.append(float(np.abs(here).max()))
            if order == 4:  # what it says of the second order, which it removed
                away = np.abs(found.reduced_potential - best.reduced_potential.interp(x=found.x))
                assert (away.max("x") < found.error_estimate).all()
            else:
                assert found.error_estimate.isnull().all()
        assert errors[0] / errors[1] > 0.7 * factor


def test_order_in_time():
    """Without a switch at t = 0 the error falls with the fourth to fifth power of the steps."""
    cell = Cell.dimensionless(8.0, 0.0)
    volt, end = cell.thermal_voltage, clock(cell)

    def program(t):
        return 3 * volt * np.sin(np.pi * t / end) ** 2, 0.0

    def run(rtol):
        found = solve_transient(cell, [end], nodes=61, rtol=rtol, potential=program, order=2)
        return found.concentration.values[0], int(found.steps)

    exact = run(1e-12)[0]
    (first, few), (second, many) = run(1e-8), run(1e-10)
    gain = np.abs(first - exact).max() / np.abs(second - exact).max()
    assert many > few and np.log(gain) / np.log(many / few) > 3.5


@pytest.mark.parametrize("voltage", [1, 5, 15])
def test_it_ends_in_equilibrium(voltage):
    cell = Cell.dimensionless(RATIO, voltage)
    solution = solve_transient(cell, [2000 * clock(cell)], rtol=1e-4)
    rest = solve_equilibrium(cell, order=6)
    np.testing.assert_allclose(solution.electrode_charge[-1], rest.surface_charge, rtol=2e-3)
    assert float(solution.free_energy[-1]) == pytest.approx(float(rest.free_energy), rel=1e-3)
    assert float(solution.dissipation[-1]) < 1e-8 * float(solution.dissipation.max() + 1)


def by_scipy(cell, found, times, program=None):
    """Method of lines by Radau, with the Poisson equation eliminated, on the same mesh."""
    p = discretise(cell, found.x.values)
    h = np.diff(p.nodes)
    d = np.ones(2)
    unit = cell.length**2 / 1e-9

    def rate(t, y):
        v = p.v if program is None else np.array(program(t * unit)) / cell.thermal_voltage
        c = y.reshape(2, -1)
        flux = np.empty((2, h.size))
        transport.fluxes(clock_module.poisson(p, c[None], v[None])[0], c, h, p.z, d, flux)
        out = np.zeros_like(c)
        out[:, :-1] -= flux
        out[:, 1:] += flux
        return (out / p.w).ravel()

    start = np.repeat(p.amount, p.x.size)
    at = times / unit
    known = solve_ivp(rate, (0, at[-1]), start, "Radau", at, rtol=1e-9, atol=1e-9 * p.amount[0])
    return known.y.T.reshape(len(times), 2, -1) / p.unit


def test_a_step_against_scipy():
    cell = Cell.dimensionless(5.0, 3.0)
    times = clock(cell) * np.array([0.1, 1.0, 4.0])
    found = solve_transient(cell, times, nodes=41, rtol=1e-9, order=2)
    np.testing.assert_allclose(found.concentration, by_scipy(cell, found, times), rtol=2e-6)


def test_error_follows_rtol():
    cell = Cell.dimensionless(RATIO, 5.0)
    times = clock(cell) * np.linspace(0.2, 4, 6)
    exact = solve_transient(cell, times, nodes=201, rtol=1e-9).concentration
    for rtol in (1e-3, 1e-5, 1e-7):
        found = solve_transient(cell, times, nodes=201, rtol=rtol).concentration
        error = np.abs(found - exact) / (exact + 1e17)
        assert float(error.max()) < 100 * rtol


def test_a_sine_against_scipy():
    """Stages see the voltage at their own times: the fourth order holds under a program."""
    cell = Cell.dimensionless(5.0, 0.0)
    end, volt = 2 * clock(cell), cell.thermal_voltage

    def program(t):
        wave = 2 * volt * np.sin(2 * np.pi * t / end)
        return wave, -wave

    times = end * np.array([0.3, 0.8])
    found = solve_transient(cell, times, nodes=41, rtol=1e-8, potential=program, order=2)
    np.testing.assert_allclose(
        found.concentration, by_scipy(cell, found, times, program), rtol=5e-6
    )
