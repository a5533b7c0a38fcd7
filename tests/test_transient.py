"""Ions in time against the linear theory, equilibria, energy laws and other integrators."""

import dataclasses
import json

import numpy as np
import p4_reference
import pytest
import xarray as xr
from mpmath import invertlaplace, mp
from scipy.integrate import solve_ivp

from pnpfuse_solvers import (
    Cell,
    Ion,
    SolverError,
    solve_equilibrium,
    solve_transient,
    transport,
)
from pnpfuse_solvers import clock as clock_module
from pnpfuse_solvers.discrete import discretise

RATIO = 20.0


def clock(cell):
    """Charging time lambda_D l / D [s] (Bazant, Thornton and Ajdari, Phys. Rev. E 70 (2004))."""
    return cell.debye_length * cell.length / 1e-9


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


@pytest.mark.parametrize("nodes", [150, 151])
def test_extrapolated_results_keep_amounts_and_signs(nodes):
    cell = Cell.dimensionless(30.0, 25.0)
    times = clock(cell) * np.geomspace(1e-5, 100.0, 60)
    found = solve_transient(cell, times, nodes=nodes)
    assert found.sizes["x"] == nodes
    amounts = np.trapezoid(found.concentration, found.x, axis=-1)
    np.testing.assert_allclose(amounts, 1e20 * cell.length, rtol=1e-12)
    np.testing.assert_allclose(found.ion_count, 1e20 * cell.length, rtol=1e-12)
    assert (found.concentration > 0).all() and float(found.minimum_concentration) > 0
    np.testing.assert_allclose(found.reduced_potential[:, [0, -1]], [[25.0, -25.0]] * 60)


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


def test_backward_euler_is_of_first_order_and_keeps_its_promises():
    cell = Cell.dimensionless(RATIO, 10.0)
    end = 4 * clock(cell)
    exact = float(solve_transient(cell, [end / 4], nodes=201, rtol=1e-8).electrode_charge[0, 0])
    errors = []
    for steps in (40, 80, 160):
        times = np.linspace(0, end, steps + 1)
        found = solve_transient(cell, times, method="backward_euler", nodes=201)
        errors.append(abs(float(found.electrode_charge[steps // 4, 0]) / exact - 1))
        assert int(found.steps) == steps
        energy = found.free_energy.values
        assert (np.diff(energy) <= 1e-13 * np.abs(energy).max()).all()
        assert float(found.energy_rise) <= 1e-13 * np.abs(energy).max()
        assert (found.concentration > 0).all() and float(found.mass_error) < 1e-12
        drift = found.ion_count / found.ion_count.isel(time=0) - 1
        assert float(np.abs(drift).max()) < 1e-12
    assert errors[0] / errors[2] == pytest.approx(4.0, rel=0.25)


@pytest.mark.parametrize("stern", [0.0, 0.3])
def test_energy_lost_is_energy_dissipated(stern):
    cell = Cell.dimensionless(RATIO, 4.0)
    cell = cell.replace(stern_thickness=(stern * cell.debye_length, 0.0))
    times = np.concatenate([[0.0], np.geomspace(1e-4, 6, 400)]) * clock(cell)
    solution = solve_transient(cell, times, nodes=201, rtol=1e-7)
    lost = solution.free_energy[0] - solution.free_energy
    scale = float(lost[-1])
    np.testing.assert_allclose(solution.dissipated_energy, lost, atol=1e-6 * scale)
    assert float(np.abs(solution.energy_balance).max()) < 1e-6 * scale
    summed = float(solution.dissipation.integrate("time"))
    assert summed == pytest.approx(scale, rel=2e-3)
    assert (solution.dissipation >= 0).all()
    assert float(solution.energy_rise) <= 1e-9 * scale


def test_energy_balance_with_moving_electrodes():
    """What moving electrodes put in, sigma dV, is in the balance, and so are their jumps."""
    cell = Cell.dimensionless(RATIO, 0.0)
    period, volt = clock(cell), cell.thermal_voltage

    def program(t):
        wave = 3 * volt * np.sin(2 * np.pi * t / period) + (2 * volt if t > 0.4 * period else 0.0)
        return wave, 0.0

    times = period * np.linspace(0.0, 1.5, 40)
    found = solve_transient(cell, times, nodes=101, potential=program)
    scale = float(found.dissipated_energy[-1])
    assert scale > 0 and float(np.abs(found.energy_balance).max()) < 1e-5 * scale


def test_backward_euler_loses_at_least_what_it_dissipates():
    cell = Cell.dimensionless(RATIO, 6.0)
    times = np.linspace(0.0, 2.0, 50) * clock(cell)
    found = solve_transient(cell, times, method="backward_euler", nodes=201)
    assert (found.energy_balance.diff("time") <= 0).all() and found.attrs["order"] == 2
    fine = solve_transient(cell, np.linspace(0.0, 2.0, 200) * clock(cell), method="backward_euler")
    assert 0 < -float(fine.energy_balance[-1]) < -0.5 * float(found.energy_balance[-1])


def test_a_run_in_two_halves_is_one_run():
    cell = Cell.dimensionless(RATIO, 3.0)
    end = 2 * clock(cell)
    whole = solve_transient(cell, [end / 2, end], nodes=201, rtol=1e-7)
    first = solve_transient(cell, [end / 2], nodes=201, rtol=1e-7)
    second = solve_transient(cell, [end / 2], initial=first, nodes=201, rtol=1e-7)
    np.testing.assert_allclose(second.concentration[-1], whole.concentration[-1], rtol=1e-5)


def test_discharge_starts_on_a_mesh_for_its_layers():
    cell = Cell.dimensionless(100.0, 8.0)
    full = solve_transient(cell, [50 * clock(cell)])
    times = clock(cell) * np.array([0.0, 50.0])
    empty = solve_transient(cell.replace(potential=(0.0, 0.0)), times, initial=full)
    np.testing.assert_allclose(empty.concentration[0], full.concentration[-1], rtol=0.02)
    assert abs(float(empty.electrode_charge[-1, 0])) < 1e-3 * float(full.electrode_charge[-1, 0])


def test_a_voltage_program():
    """Switched on and off again: the ions go back to where they came from."""
    cell = Cell.dimensionless(RATIO, 0.0)
    period, volt = clock(cell), cell.thermal_voltage

    def program(t):
        return (4 * volt, -4 * volt) if t < period else (0.0, 0.0)

    times = period * np.array([0.5, 0.999, 1.5, 300.0])
    solution = solve_transient(cell, times, potential=program, nodes=201, rtol=1e-5)
    charge = solution.electrode_charge.values[:, 0]
    assert charge[1] > charge[0] > 0 and abs(charge[3]) < 1e-4 * charge[1]
    np.testing.assert_allclose(solution.electrode_potential[0], [4 * volt, -4 * volt])
    np.testing.assert_allclose(solution.concentration[-1], 1e20, rtol=1e-3)
    assert float(solution.mass_error) < 1e-12


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


def test_a_pulse_between_two_times_is_not_missed():
    cell = Cell.dimensionless(RATIO, 0.0)
    unit, volt = clock(cell), cell.thermal_voltage

    def program(t):
        return (5 * volt, -5 * volt) if 50 * unit < t < 55 * unit else (0.0, 0.0)

    alone = solve_transient(cell, [55.01 * unit], potential=program, nodes=201)
    seen = solve_transient(cell, unit * np.array([50.0, 54.9, 55.01]), potential=program, nodes=201)
    charge = float(seen.electrode_charge[-1, 0])
    assert abs(charge) > 1e-7
    assert float(alone.electrode_charge[-1, 0]) == pytest.approx(charge, rel=1e-3)
    # The mesh is made for the pulse, not for the rest before and after it.
    fine = solve_transient(cell, unit * np.array([54.9]), potential=program, nodes=801)
    assert float(seen.electrode_charge[1, 0]) == pytest.approx(
        float(fine.electrode_charge[0, 0]), rel=5e-3
    )


def test_certificates_keep_the_worst_of_all_times():
    """A layer that was not resolved while the voltage was on is not forgotten after it."""
    cell = Cell.dimensionless(200, 0.0)
    unit, volt = clock(cell), cell.thermal_voltage

    def program(t):
        return (40 * volt, -40 * volt) if t < 3 * unit else (0.0, 0.0)

    times = unit * np.array([2.9, 3000.0])
    with pytest.raises(SolverError, match="layer_resolution"):
        solve_transient(cell, times, potential=program, nodes=31)
    handed = solve_transient(cell, times, potential=program, nodes=31, throw=False)
    assert handed.attrs["outcome"] == "unresolved layer"


def test_a_rise_of_energy_and_a_broken_law_show(monkeypatch):
    cell = Cell.dimensionless(4, 3)
    real = clock_module.ledger

    def false(u, *rest):
        energy = np.array([-1.0, -2.0, -1.5, -3.0])[-len(u) :]
        return dataclasses.replace(real(u, *rest), energy=energy, residual=1e-3)

    monkeypatch.setattr(clock_module, "ledger", false)
    found = solve_transient(
        cell, [1e-8, 2e-8, 3e-8], method="backward_euler", nodes=51, throw=False
    )
    unit = cell.constants.permittivity * cell.thermal_voltage**2 / cell.length
    assert float(found.energy_rise) == pytest.approx(unit)  # from -3 to -2
    assert float(found.residual) == 1e-3 and found.attrs["outcome"] == "stalled"


def test_amounts_of_an_earlier_result_are_kept_on_another_mesh():
    cell = Cell.dimensionless(RATIO, 3.0)
    coarse = solve_transient(cell, [clock(cell)], nodes=101)
    on = solve_transient(cell, [0.0, clock(cell)], initial=coarse, nodes=301)
    np.testing.assert_allclose(on.ion_count, 1e20 * cell.length, rtol=1e-12)


def test_stern_layers_and_three_species():
    ions = (
        Ion("Ca2+", 2, 1e25, diffusivity=0.79e-9), Ion("Na+", 1, 2e25, diffusivity=1.33e-9),
        Ion("Cl-", -1, 4e25, diffusivity=2.03e-9),
    )  # fmt: skip
    cell = Cell(
        1e-8,
        ions,
        relative_permittivity=78.0,
        potential=(0.1, -0.05),
        stern_thickness=(3e-10, 5e-10),
    )
    solution = solve_transient(cell, [1e-9, 1e-6], rtol=1e-5)
    rest = solve_equilibrium(cell, order=6)
    np.testing.assert_allclose(solution.electrode_charge[-1], rest.surface_charge, rtol=1e-3)
    counts = np.array([ion.concentration for ion in ions]) * cell.length
    np.testing.assert_allclose(solution.ion_count, [counts, counts], rtol=1e-12)


def test_a_time_limit_is_an_outcome(monkeypatch):
    monkeypatch.setattr(clock_module, "STEP_LIMIT", 12)
    cell = Cell.dimensionless(RATIO, 3.0)
    times = [1e-9 * clock(cell), 5 * clock(cell)]
    with pytest.raises(SolverError, match="used up their number"):
        solve_transient(cell, times)
    handed = solve_transient(cell, times, throw=False)
    assert handed.attrs["outcome"] == "iterations exhausted"
    assert handed.concentration[0].notnull().all() and handed.concentration[1].isnull().all()


def test_results_survive_a_file(tmp_path):
    solution = solve_transient(Cell.dimensionless(4, 2), [0.0, 1e-6], nodes=51)
    solution.to_netcdf(tmp_path / "run.nc")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "run.nc"), solution)
    for variable in solution.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    np.testing.assert_allclose(solution.concentration[0], 1e20, rtol=1e-12)


CELL = Cell.dimensionless(4, 2)
REST = solve_equilibrium(CELL)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"cell": 3}, "cell: got int"),
        ({"cell": CELL.replace(contact="reservoir")}, "cell: got contact 'reservoir'"),
        ({"times": []}, "times: got"),
        ({"times": [1.0, 0.5]}, "times: got"),
        ({"times": [-1.0, 0.5]}, "times: got"),
        ({"times": [float("nan")]}, "times: got"),
        ({"times": "now"}, "times: got 'now'"),
        ({"method": "euler"}, "method: got 'euler'"),
        ({"rtol": 0.0}, "rtol: got 0"),
        ({"nodes": 5}, "nodes: got 5"),
        ({"order": 6}, "order: got 6"),
        ({"initial": "empty"}, "initial: got 'empty'"),
        ({"initial": 3}, "initial: cannot take"),
        ({"initial": solve_equilibrium(Cell.dimensionless(5, 2))}, "initial: cannot take"),
        ({"initial": REST.isel(x=slice(20, None))}, "it goes from"),
        ({"initial": REST.assign(valence=-REST.valence)}, "valences"),
        (
            {"initial": REST.assign(concentration=2 * REST.concentration)},
            "times the cell's amounts",
        ),
        ({"initial": REST.assign(concentration=REST.concentration * np.inf)}, "not finite"),
        ({"initial": {"concentration": 1}}, "it is a dict"),
        ({"initial": np.ones((2, 5))}, "it is a ndarray"),
        ({"initial": xr.concat([REST, REST], "species", data_vars="all")}, "it has the ions"),
        ({"times": ["1e-6"]}, "times: got"),
        ({"times": [True]}, "times: got"),
        ({"times": np.array([1e-6 + 0j])}, "times: got"),
        ({"times": [1e308]}, "times: got"),
        ({"potential": 3}, "potential: got 3"),
        ({"potential": lambda t: 1.0}, "potential: the function failed"),
        ({"potential": lambda t: (0.0, float("nan"))}, "potential at t = 0 s"),
    ],
)
def test_bad_arguments(change, match):
    with pytest.raises(ValueError, match=match):
        solve_transient(**{"cell": CELL, "times": [1e-6], **change})
