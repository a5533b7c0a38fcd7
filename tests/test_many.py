"""Batches: the same numbers as cell by cell, and failures that stop nobody."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from pnpfuse_solvers import Cell, Ion, Outcome, solve_equilibrium, solve_many

SCALARS = (
    "debye_length", "interface", "interface_width", "free_energy", "error_estimate",
    "layer_resolution", "minimum_concentration", "least_density", "iterations", "separation",
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


PAIRS = {
    "anion.valence": [-1.0, -0.25, -2.0],
    "anion.concentration": [1e20, 4e20, 5e19],
}


def test_length_ratio_and_linked_names_cell_by_cell():
    cell = Cell.dimensionless(4, 5)
    vary = {
        "length_ratio": [0.3, 6.0], "charge_ratio": PAIRS, "temperature": [250.0, 400.0],
        "relative_permittivity": [3.0], "stern_thickness": [1e-9], "voltage": [7.0],
    }  # fmt: skip
    found = solve_many(cell, vary, nodes=101)
    assert tuple(found.interface.dims) == tuple(vary)
    assert found["anion.valence"].dims == ("charge_ratio",)
    assert found["anion.concentration"].attrs["units"] == "m-3"
    assert "charge_ratio" not in found.coords and found.length.attrs["units"] == "m"
    for i, ratio in enumerate(vary["length_ratio"]):
        for j in range(3):
            for k, temperature in enumerate(vary["temperature"]):
                valence, amount = (values[j] for values in PAIRS.values())
                made = Cell(
                    1.0, (cell.ions[0], Ion("anion", valence, amount)), temperature, 3.0,
                    stern_thickness=1e-9,
                )  # fmt: skip
                made = made.replace(length=ratio * made.debye_length).at_voltage(7.0)
                alone = solve_equilibrium(made, nodes=101)
                here = found.isel(length_ratio=i, charge_ratio=j, temperature=k).squeeze()
                assert float(here.length) == pytest.approx(made.length, rel=1e-14)
                assert float(here.length / here.debye_length) == pytest.approx(ratio, rel=1e-14)
                assert float(alone.length_ratio) == pytest.approx(ratio, rel=1e-14)
                for name in SCALARS:
                    np.testing.assert_allclose(here[name], alone[name], rtol=1e-5, err_msg=name)


def test_length_ratio_and_linked_names_of_sized_ions():
    """Solved one after the other, and the same."""
    cell = Cell.dimensionless(4, 5)
    vary = {"length_ratio": [3.0], "pair": PAIRS, "cation.diameter": [0.0]}
    alone, batched = solve_many(cell, vary), solve_many(cell, {n: vary[n] for n in list(vary)[:2]})
    for name in ("length", *SCALARS):
        if name not in ("iterations", "layer_resolution"):
            theirs = batched[name].values
            np.testing.assert_allclose(
                alone[name].values.reshape(theirs.shape), theirs, rtol=1e-5, err_msg=name
            )


def test_a_cell_without_charges_has_no_debye_length():
    """Nor a length, given in Debye lengths; the others are solved all the same."""
    vary = {"pair": {"cation.valence": [0.0, 1.0], "anion.valence": [0.0, -1.0]}}
    for more in ({}, {"cation.diameter": [0.0]}):
        found = solve_many(Cell.dimensionless(4, 5), {**vary, "length_ratio": [4.0], **more})
        assert found.outcome.values.ravel().tolist() == [Outcome.OUT_OF_RANGE, "converged"]
        assert not np.isfinite(found.length.values[0]).any()


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_least_density_is_that_of_all_ions_over_its_mean(contact):
    solution = solve_equilibrium(Cell.dimensionless(4, 3, (2, -1), (1, 2), contact))
    ions = solution.concentration.sum("species")
    mean = float(ions.integrate("x") / solution.length)
    assert float(solution.least_density) == pytest.approx(float(ions.min()) / mean, rel=1e-12)
    if contact == "closed":
        assert mean == pytest.approx(3e20, rel=1e-12)


def test_threads_and_chunks_change_nothing():
    cell = Cell.dimensionless(10, 5)
    vary = {"voltage": np.linspace(0.1, 20, 150), "cation.concentration": [1e20, 2e20]}
    one, two = (solve_many(cell, vary, threads=n, nodes=51) for n in (1, 2))
    xr.testing.assert_identical(one, two)


def test_it_can_be_saved_and_read(tmp_path):
    vary = {"voltage": [1, 2], "pair": PAIRS, "length_ratio": [4]}
    found = solve_many(Cell.dimensionless(4, 5), vary, profiles=True, nodes=51)
    found.to_netcdf(tmp_path / "many.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "many.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), found)
    assert all({"units", "long_name"} <= set(v.attrs) for v in found.variables.values())


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
        ({"length": [1.0], "length_ratio": [1.0]}, "length beside length_ratio"),
        ({"length_ratio": [0.0]}, "'length_ratio'"),
        ({"pair": {}}, "'pair'.*no names"),
        ({"pair": {"anion.mass": [1]}}, "'pair'.*'anion.mass'"),
        ({"pair": {"anion.valence": [-1, -2], "voltage": [1]}}, "equally long"),
        ({"pair": {"anion.concentration": [0.0]}}, "'pair'.*'anion.concentration'.*above 0"),
        ({"pair": {"voltage": [1]}, "voltage": [1]}, "voltage twice"),
        ({"pair": {"voltage": [1]}, "potential_left": [1]}, "voltage beside"),
        ({"voltage": {"voltage": [1]}}, "a name of its own"),
        ({"separation": {"voltage": [1]}}, "a name of its own"),
        ({"": {"voltage": [1]}}, "a name of its own"),
    ],
)
def test_bad_input_is_named(vary, said):
    with pytest.raises(ValueError, match=said):
        solve_many(Cell.dimensionless(4, 5), vary)


def test_length_ratio_needs_a_debye_length_that_does_not_depend_on_it():
    cell = Cell.dimensionless(4, 5).replace(relative_permittivity=lambda x: 1 + x / x.max())
    with pytest.raises(ValueError, match="give length"):
        solve_many(cell, {"length_ratio": [4.0]})
    found = solve_many(cell, {"length_ratio": [4.0], "relative_permittivity": [2.0]})
    assert (found.length / found.debye_length).item() == pytest.approx(4.0, rel=1e-14)


def test_the_threads_of_torch_stay_as_they_are():
    """Else small models, trained afterwards, wait for a second thread at every layer."""
    code = """
import torch
torch.set_num_threads(1)
print(torch.get_num_threads())
from pnpfuse import pnp_boundary
from pnpfuse_solvers import Cell, solve_many
solve_many(Cell.fig8(5), {"voltage": [1, 2]}, nodes=51)
pnp_boundary(1.0, torch.linspace(1, 5, 200), 1.0, nodes=51)
print(torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], done.stderr
