"""Promises of transients: amounts, signs, energy laws, programs of the voltage, arguments."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from p4_reference import clock

from pnpfuse_solvers import Cell, Ion, SolverError, solve_equilibrium, solve_transient
from pnpfuse_solvers import clock as clock_module

RATIO = 20.0


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


def test_fixed_charge_and_permittivity_that_vary():
    """Five species, one of them uncharged, a charged membrane: every method goes to rest there."""
    ions = tuple(
        Ion(name, z, 1e24 * c, diffusivity=1e-9 * d)
        for name, z, c, d in (
            ("a", 2, 0.5, 0.8), ("b", 1, 1.0, 1.3), ("c", -1, 1.8, 2.0), ("d", -0.5, 0.4, 0.5),
            ("e", 0, 1.0, 1.0),
        )
    )  # fmt: skip
    cell = Cell(
        3e-8, ions, relative_permittivity=lambda x: 60.0 + 20.0 * np.cos(x / 1e-8),
        potential=(0.05, -0.03),
        fixed_charge=lambda x: -4e23 * np.exp(-(((x - 1.5e-8) / 4e-9) ** 2)),
        stern_thickness=(0.0, 4e-10),
    )  # fmt: skip
    rest = solve_equilibrium(cell, order=6)
    end = 300 * cell.length**2 / 1e-9
    for options in ({"nodes": 201}, {"nodes": 100}, {"method": "backward_euler"}):
        found = solve_transient(cell, [0.01 * end, 0.1 * end, end], **options)
        np.testing.assert_allclose(found.electrode_charge[-1], rest.surface_charge, rtol=2e-3)
        there = found.concentration[-1].sel(species="c").interp(x=rest.x)
        np.testing.assert_allclose(there, rest.concentration.sel(species="c"), rtol=5e-3)
        assert float(found.mass_error) < 1e-12


def test_the_start_alone_and_times_close_together():
    cell = Cell.dimensionless(RATIO, 2.0)
    start = solve_transient(cell, [0.0], nodes=51)
    np.testing.assert_allclose(start.concentration, 1e20, rtol=1e-12)
    assert float(start.dissipated_energy[0]) == 0.0 == float(start.energy_balance[0])
    unit = clock(cell)
    many = np.sort(np.random.default_rng(3).uniform(0.0, 1.0, 500)) * unit
    few = solve_transient(cell, [many[100], many[-1]], nodes=101)
    found = solve_transient(cell, many, nodes=101)
    np.testing.assert_allclose(found.electrode_charge[[100, -1]], few.electrode_charge, rtol=1e-5)
    assert abs(int(found.steps) - int(few.steps)) <= 2  # results cost no steps
    assert (np.diff(found.electrode_charge[:, 0]) > 0).all()


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
