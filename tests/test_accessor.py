"""The .pnp accessor: the same answers from a result and from its file, errors that say why."""

import numpy as np
import pytest
import xarray as xr

from pnpfuse_solvers import Cell, Ion, solve_equilibrium, solve_steady, solve_transient

SALT = (Ion("Ca2+", 2, 5e24, 0.79e-9), Ion("Na+", 1, 1e24, 1.33e-9), Ion("Cl-", -1, 1.1e25, 2e-9))
CELL = Cell(2e-8, SALT, relative_permittivity=78.0, potential=(0.1, -0.07), temperature=310.0,
            fixed_charge=1e23, stern_thickness=(3e-10, 0.0))  # fmt: skip
EQUILIBRIUM = solve_equilibrium(CELL, nodes=201, order=4)
RUN = solve_transient(CELL, [1e-9, 1e-8], nodes=101, rtol=1e-4)
BARE = CELL.replace(stern_thickness=(0.0, 0.0))
STEADY = solve_steady(
    BARE, {i.name: i.concentration for i in SALT}, {i.name: 0.5 * i.concentration for i in SALT},
    nodes=101, order=4,
)  # fmt: skip
RESULTS = {"equilibrium": EQUILIBRIUM, "run": RUN, "steady": STEADY}


def from_netcdf(result, path):
    result.to_netcdf(path / "result.nc")
    return xr.load_dataset(path / "result.nc")


def from_zarr(result, path):
    result.to_zarr(path / "result.zarr")
    return xr.open_zarr(path / "result.zarr").load()


@pytest.mark.parametrize("reopen", [from_netcdf, from_zarr])
@pytest.mark.parametrize("name", RESULTS)
def test_a_file_answers_like_the_result(name, reopen, tmp_path):
    result, again = RESULTS[name], reopen(RESULTS[name], tmp_path)
    assert again.pnp.cell() == (BARE if name == "steady" else CELL)
    assert again.pnp.summary() == result.pnp.summary()
    xr.testing.assert_identical(again.pnp.certificates(), result.pnp.certificates())
    assert again.pnp.certificates().attrs["outcome"] == "converged"
    one, other = (r.isel(time=-1) if "time" in r.dims else r for r in (result, again))
    xr.testing.assert_identical(one.pnp.gauss(at=5e-9), other.pnp.gauss(at=5e-9))
    assert len(again.pnp.plot().axes) == len(result.pnp.plot().axes) >= 3


def test_the_cell_solves_to_the_same_result():
    again = solve_equilibrium(EQUILIBRIUM.pnp.cell(), nodes=201, order=4)
    xr.testing.assert_identical(again, EQUILIBRIUM)
    assert solve_equilibrium(Cell.fig8(5), order=2).pnp.cell() == Cell.fig8(5)  # own constants


def test_interface_is_a_record_of_its_own():
    found = EQUILIBRIUM.pnp.interface()
    assert list(found) == [
        "interface", "interface_uncertainty", "interface_width", "interface_reason", "separation"
    ]  # fmt: skip
    assert float(found.interface) == float(EQUILIBRIUM.interface)
    for variable in found.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)


def test_certificates_are_scalars_with_the_outcome():
    for name, result in RESULTS.items():
        found = result.pnp.certificates()
        assert all(variable.ndim == 0 for variable in found.data_vars.values())
        assert {"residual", "mass_error", "layer_resolution", "iterations"} <= set(found)
        assert ("flux_spread" in found) == (name == "steady")
        assert ("energy_rise" in found) == (name == "run")


def test_summary_tells_numbers_with_si_prefixes():
    text = EQUILIBRIUM.pnp.summary()
    assert text.startswith("equilibrium of a closed cell: converged\n")
    debye = float(EQUILIBRIUM.debye_length) * 1e9
    assert f"debye_length: {debye:.4g} nm" in text
    assert (
        "ions: Ca2+ (+2), Na+ (+1), Cl- (-1)" in text
        and "over: electrode 2, species 3, x 201" in text
    )
    assert "A m-2" in STEADY.pnp.summary() and "energy_rise" in RUN.pnp.summary()
    bulk = solve_equilibrium(Cell.dimensionless(1e4, 1), nodes=101, order=2)
    assert "interface: not determined" in bulk.pnp.summary()


def profile(x):
    return 0.0 * x


def test_what_is_missing_is_named():
    with_function = solve_equilibrium(CELL.replace(fixed_charge=profile), nodes=51, order=2)
    with pytest.raises(ValueError, match="fixed_charge: the cell held the Python function profile"):
        with_function.pnp.cell()
    blank = xr.Dataset({"a": ("t", [1.0])})
    for call, match in (
        (blank.pnp.cell, "parameters: the attrs hold none"),
        (blank.pnp.interface, "interface: this Dataset does not hold it, it holds a"),
        (blank.pnp.certificates, "residual: this Dataset does not hold it"),
        (RUN.pnp.interface, "interface: this Dataset does not hold it, it holds"),
        (xr.Dataset().pnp.plot, "potential: this Dataset holds none.*it holds nothing"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    assert "outcome not recorded" in blank.pnp.summary()


def test_a_part_of_a_result_still_answers():
    """What xarray does to a Dataset in between does not break the accessor."""
    part = EQUILIBRIUM.isel(x=slice(None, None, 2))
    assert float(part.pnp.gauss(5e-9).gap) < 1e-3
    last = RUN.isel(time=-1)
    assert float(last.pnp.gauss(5e-9).gap) < 1e-3
    assert np.isfinite(float(last.pnp.certificates().residual))
