"""Batches: the same numbers as cell by cell, and failures that stop nobody."""

import numpy as np
import pytest
import xarray as xr

from pnpfuse_solvers import Cell, Ion, Outcome, solve_equilibrium, solve_many

SCALARS = (
    "debye_length", "interface", "interface_width", "free_energy", "error_estimate",
    "layer_resolution", "minimum_concentration", "iterations", "separation",
    "surface_charge",
)  # fmt: skip


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
@pytest.mark.parametrize("order", [2, 4])
def test_the_same_as_cell_by_cell(contact, order):
    cell = Cell.dimensionless(4, 5, contact=contact).replace(stern_thickness=(1e-9, 0.0))
    vary = {"length": [cell.length, 3 * cell.length], "voltage": [0.0, 3.0, 12.0]}
    found = solve_many(cell, vary, nodes=101, order=order, profiles=True)
    assert found.interface.dims == ("length", "voltage")
    assert found.potential.dims == ("length", "voltage", "node")
    for length in vary["length"]:
        for voltage in vary["voltage"]:
            here = found.sel(length=length, voltage=voltage)
            alone = solve_equilibrium(
                cell.replace(length=length).at_voltage(voltage), nodes=101, order=order
            )
            # Voltages rounded differently place nodes differently, in the last digits.
            assert here.outcome.item() == alone.attrs["outcome"] == "converged"
            assert here.interface_reason.item() == alone.interface_reason.item()
            for name in SCALARS:
                np.testing.assert_allclose(here[name], alone[name], rtol=1e-5, err_msg=name)
            for name in ("x", "potential", "concentration"):
                theirs = alone[name].values
                np.testing.assert_allclose(here[name], theirs, rtol=1e-6, atol=1e-9)


def test_everything_that_can_be_varied():
    ions = (Ion("K+", 1, 6e24), Ion("Cl-", -1, 6e24))
    cell = Cell(2e-8, ions, relative_permittivity=78.0, potential=(0.1, -0.02))
    vary = {
        "potential_left": [0.05], "potential_right": [-0.1], "length": [1e-8],
        "temperature": [350.0], "relative_permittivity": [40.0], "fixed_charge": [1e24],
        "stern_thickness": [3e-10], "K+.concentration": [5e24], "Cl-.valence": [-2.0],
    }  # fmt: skip
    found = solve_many(cell, vary)
    assert tuple(found.interface.dims) == tuple(vary)
    other = Cell(
        1e-8, (Ion("K+", 1, 5e24), Ion("Cl-", -2, 6e24)), 350.0, 40.0, (0.05, -0.1),
        fixed_charge=1e24, stern_thickness=(3e-10, 3e-10),
    )  # fmt: skip
    alone = solve_equilibrium(other, nodes=201)
    for name in SCALARS:
        np.testing.assert_allclose(found[name].squeeze(), alone[name], rtol=1e-8, err_msg=name)


def test_voltage_counts_in_the_varied_temperature():
    found = solve_many(Cell.dimensionless(0.01, 1), {"temperature": [200.0, 400.0], "voltage": [3]})
    # In an almost empty cell the amounts separate by Boltzmann's factor alone.
    assert np.ptp(found.separation.values) < 1e-6
    ratio = found.surface_charge[1, 0, 0] / found.surface_charge[0, 0, 0]
    assert float(ratio) == pytest.approx(2.0, rel=1e-4)


def test_a_failed_cell_is_nan_and_stops_no_other():
    cell = Cell.dimensionless(100, 1, valences=(2, -1), concentrations=(1, 2), contact="reservoir")
    found = solve_many(cell, {"voltage": [1.0, 40.0, 2.0, 400.0]})
    assert list(found.outcome.values[[0, 2]]) == ["converged"] * 2
    assert found.outcome.values[1] == Outcome.UNRESOLVED_LAYER
    assert not Outcome(found.outcome.values[3]).ok
    for name in ("free_energy", "surface_charge", "separation", "minimum_concentration"):
        bad = found[name].isel(voltage=[1, 3])
        assert np.isnan(bad).all() and np.isfinite(found[name].isel(voltage=[0, 2])).all()
    assert "raise nodes" in found.interface_reason.values[1]
    assert found.attrs["outcome"] == "2 of 4 cells converged"


def test_functions_of_x_are_solved_one_by_one():
    ions = (Ion("a", 1, 1e24), Ion("b", -1, 1e24))
    cell = Cell(
        1e-8, ions, relative_permittivity=78.0, contact="reservoir",
        fixed_charge=lambda x: np.where(x < 4e-9, 2e24, 0.0),
    )  # fmt: skip
    found = solve_many(cell, {"voltage": [0.0, 2.0]}, nodes=101)
    alone = solve_equilibrium(cell.at_voltage(2.0), nodes=101)
    np.testing.assert_allclose(found.surface_charge[1], alone.surface_charge)
    assert (found.outcome == "converged").all()
    # A number that is varied takes the function's place.
    plain = solve_many(cell, {"fixed_charge": [0.0]}, nodes=101)
    assert float(np.abs(plain.surface_charge).max()) < 1e-12


def test_ions_of_a_size_are_solved_one_by_one():
    ions = (Ion("Na+", 1, 6e25), Ion("Cl-", -1, 6e25))
    cell = Cell(2e-8, ions, relative_permittivity=78.0)
    found = solve_many(cell, {"Na+.diameter": [0.0, 6e-10, 5e-9], "voltage": [4.0]}, nodes=101)
    assert list(found.outcome.values[:, 0]) == ["converged", "converged", Outcome.OUT_OF_RANGE]
    assert "diameter" in found.interface_reason.values[2, 0]  # fuller than full
    sized = (Ion("Na+", 1, 6e25, diameter=6e-10), ions[1])
    alone = solve_equilibrium(cell.replace(ions=sized).at_voltage(4.0), nodes=101)
    np.testing.assert_allclose(found.surface_charge[1, 0], alone.surface_charge)
    repelled = cell.replace(excess={"Na+": "1e-27*c_Cl", "Cl-": "1e-27*c_Na"})
    many = solve_many(repelled, {"voltage": [4.0]}, nodes=101)
    alone = solve_equilibrium(repelled.at_voltage(4.0), nodes=101)
    np.testing.assert_allclose(many.surface_charge[0], alone.surface_charge)


def test_threads_and_chunks_change_nothing():
    cell = Cell.dimensionless(10, 5)
    vary = {"voltage": np.linspace(0.1, 20, 150), "cation.concentration": [1e20, 2e20]}
    one, two = (solve_many(cell, vary, threads=n, nodes=51) for n in (1, 2))
    xr.testing.assert_identical(one, two)


def test_it_can_be_saved_and_read(tmp_path):
    found = solve_many(Cell.dimensionless(4, 5), {"voltage": [1, 2]}, profiles=True, nodes=51)
    found.to_netcdf(tmp_path / "many.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "many.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), found)
    assert all({"units", "long_name"} <= set(v.attrs) for v in found.data_vars.values())


@pytest.mark.parametrize(
    "vary, said",
    [
        ({}, "vary"),
        ([1, 2], "vary"),
        ({"volts": [1]}, "'volts'"),
        ({"cation.mass": [1]}, "'cation.mass'"),
        ({"length": [1.0, np.nan]}, "'length'"),
        ({"length": [0.0]}, "'length'"),
        ({"length": []}, "'length'"),
        ({"voltage": "high"}, "'voltage'"),
        ({"voltage": [1], "potential_left": [1]}, "voltage beside"),
        ({"stern_thickness": [-1.0]}, "'stern_thickness'"),
    ],
)
def test_bad_input_is_named(vary, said):
    with pytest.raises(ValueError, match=said):
        solve_many(Cell.dimensionless(4, 5), vary)
