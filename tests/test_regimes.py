"""The regime map: closed forms, the published table, the same as single cells, its figure."""

import math

import numpy as np
import pytest
import xarray as xr
from command_line import run

from pnpfuse import cell_for, hyperparameters_from, regime_map
from pnpfuse.figures import png
from pnpfuse.findings import regimes
from pnpfuse.regime_figures import regime_figure
from pnpfuse.regimes import CHARGE_RATIOS, LENGTHS, VOLTAGES, at_field, decoded, longer_cells
from pnpfuse_solvers import Cell, solve_equilibrium


@pytest.fixture(scope="module")
def coarse():
    """Every fifth value of the map's own axes."""
    return regime_map(LENGTHS[::5], VOLTAGES[::5], CHARGE_RATIOS[::3], progress=False)


def test_the_axes():
    """100000 cells; lengths and voltages go in one step, decades apart after 34 of them."""
    assert len(LENGTHS) * len(VOLTAGES) * len(CHARGE_RATIOS) == 100_000
    assert LENGTHS[0] == 0.05 and 200 < LENGTHS[-1] < 230
    assert VOLTAGES[0] == 0.5 and 100 < VOLTAGES[-1] < 110
    assert (CHARGE_RATIOS[0], CHARGE_RATIOS[-1]) == (1 / 32, 1)
    for axis in (LENGTHS, VOLTAGES):
        np.testing.assert_allclose(np.diff(np.log(axis)), math.log(10) / 34)


def test_separation_of_the_symmetric_cell():
    """To four digits, from an independent solution; where b is not determined, S is."""
    found = regime_map([0.118338, 4, 30, 100], [1, 5, 10, 20], [1])
    expected = [
        [0.7310, 0.9933, 1.0000, 1.0000],
        [0.6848, 0.9905, 0.9999, 1.0000],
        [0.5344, 0.7883, 0.9986, 1.0000],
        [0.5104, 0.6092, 0.9584, 1.0000],
    ]
    np.testing.assert_array_equal(found.separation.values[..., 0].round(4), expected)
    undetermined = np.zeros((4, 4), bool)
    undetermined[3, :2] = True
    np.testing.assert_array_equal(np.isnan(found.b.values[..., 0]), undetermined)
    said = decoded(found.reason)[..., 0]
    assert set(said[undetermined]) == {"not determined"} and set(said[~undetermined]) == {"found"}
    np.testing.assert_allclose(found.b.values[..., 0][~undetermined], 0.5, atol=1e-9)


def test_without_screening_everything_is_a_closed_form():
    """A straight potential: two exponentials, whose crossing, width and shares are known."""
    voltages, ratios = np.array([3.0, 7.0, 40.0]), np.array([1 / 6, 1 / 2, 1.0, 2.0])
    found = regime_map([1e-3], voltages, ratios).isel(length_ratio=0)
    drop, r = 2 * voltages[:, None], ratios
    b = (r + np.log(np.expm1(-r * drop) / np.expm1(-drop)) / drop) / (1 + r)
    np.testing.assert_allclose(found.b, b, atol=1e-6)
    shared = np.expm1(-drop * b) / np.expm1(-drop)
    specific = np.expm1(-r * drop * (1 - b)) / np.expm1(-r * drop)
    np.testing.assert_allclose(found.separation, np.minimum(shared, specific), atol=1e-6)
    np.testing.assert_allclose(found.width[-1], math.log(81) / (80 * (1 + ratios)), rtol=1e-5)
    np.testing.assert_allclose(found.limit, ratios / (1 + ratios))
    assert (decoded(found.regime) == "unscreened").all()


def test_whether_there_is_an_interface_does_not_depend_on_the_length(coarse):
    """Of a neutral cell the pressures at both electrodes are equal, so that c(0) is c(l)'s.

    With fields as strong at both ends the sum of concentrations is the same there, and both follow
    Boltzmann: the specific species is in the majority everywhere if exp(r D) + exp(-D) < 2 for the
    whole drop D, whatever the length.
    """
    drop, r = 2 * coarse.voltage, coarse.charge_ratio
    expected = (np.exp(r * drop) + np.exp(-drop) < 2).broadcast_like(coarse.b)
    said = decoded(coarse.reason) == "specific in the majority everywhere"
    np.testing.assert_array_equal(said, expected.transpose(*coarse.b.dims).values)
    assert 0.1 < said.mean() < 0.5
    mirrored = regime_map([0.5, 50], [0.3], [2, 8])
    assert (decoded(mirrored.reason)[..., 1] == "shared in the majority everywhere").all()
    assert (decoded(mirrored.reason)[..., 0] == "found").all()


def test_the_same_as_single_cells(coarse):
    """Numbers and regime, by the one rule."""
    rng = np.random.default_rng(0)
    words = decoded(coarse.regime)
    for k in rng.choice(coarse.b.size, 40, replace=False):
        i, j, m = np.unravel_index(k, coarse.b.shape)
        here = coarse.isel(length_ratio=i, voltage=j, charge_ratio=m)
        wide = round(96 / float(here.charge_ratio))
        cell = cell_for(
            {"a": wide, "b": 96}, "a", n=float(here.length_ratio), voltage=float(here.voltage)
        )
        one = hyperparameters_from(solve_equilibrium(cell))
        assert one.regime == words[i, j, m]
        for name in ("b", "separation", "width", "limit"):
            assert float(here[name]) == pytest.approx(getattr(one, name), abs=2e-5, nan_ok=True)


def test_what_a_longer_cell_does(coarse):
    """It separates less at a fixed voltage and more in a fixed field: PMR's two statements."""
    equal = coarse.sel(charge_ratio=[1.0])
    (less, steps), (more, along) = longer_cells(equal)
    assert less == steps == 24 * 16 and more == along > 300
    line = at_field(equal, 1.0)
    field = (line.voltage / line.length_ratio).values
    np.testing.assert_allclose(field, field[0])  # nearest to 1 in steps of 40 %, here
    assert 0.8 < field[0] < 1.2
    assert line.separation[0] < 0.7 and line.separation[-1] > 0.9999
    said = " ".join(regimes(equal))
    assert f"{less} of {steps}" in said and "App. E.2" in said and "Sec. 3.2" in said
    # Upside down, the sentence on the papers is gone.
    turned = equal.assign(separation=1.5 - equal.separation)
    assert "Sec. 3.2" not in " ".join(regimes(turned))
    assert len(regimes(regime_map([4], [5], [1]))) == 1


def test_a_field_is_fixed_or_not_spoken_of():
    """Lengths in steps without voltages in the same: the nearest voltage is another field."""
    uneven = regime_map([1, 2, 3], [3.7, 64], [0.5])
    assert at_field(uneven, 2.0).sizes["length_ratio"] == 1
    assert longer_cells(uneven) == ((4, 4), (0, 0))
    said = " ".join(regimes(uneven))
    assert "4 of 4" in said and "field" not in said
    _, below = regime_figure(uneven).subfigs
    assert "4 of 4" in below.axes[0].get_title() and "field" not in below.axes[0].get_title()
    assert "--" not in [line.get_linestyle() for line in below.axes[0].lines]
    fine = regime_map([1, 3, 10, 30], np.geomspace(1, 100, 60), [1.0])
    line = at_field(fine, 2.0)
    np.testing.assert_allclose(line.voltage / line.length_ratio, 2.0, rtol=0.1)
    assert line.sizes["length_ratio"] == 4 and (np.diff(line.separation[:, 0]) > 0).all()


def test_extreme_cells_fail_without_a_warning():
    for lengths, ratios in (([1e308, 1e-308], [1.0]), ([2.0], [1e300]), ([1e-300], [1e-280])):
        found = regime_map(lengths, [5.0, 50.0], ratios)
        assert found.attrs["failed"] == found.b.size
        assert regimes(found) == [f"0 of {found.b.size} cells converged: failed 100.0%."]


def test_failed_cells_are_counted_and_stop_no_other():
    found = regime_map([4.0], [5.0, 50.0], [1.0], nodes=21)
    assert found.attrs["failed"] == 1 and found.attrs["outcome"] == "1 of 2 cells converged"
    assert decoded(found.regime)[0, :, 0].tolist() == ["screened", "failed"]
    assert decoded(found.reason)[0, :, 0].tolist() == ["found", "failed"]
    assert np.isnan(found.b[0, 1, 0]) and np.isnan(found.separation[0, 1, 0])
    assert "failed 50.0%" in regimes(found)[0]


def test_it_explains_itself_and_can_be_saved(coarse, tmp_path):
    assert tuple(coarse.b.dims) == ("length_ratio", "voltage", "charge_ratio")
    for variable in coarse.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    coarse.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), coarse)
        assert dict(back.attrs) == coarse.attrs
        np.testing.assert_array_equal(decoded(back.regime), decoded(coarse.regime))
    pytest.importorskip("zarr")
    coarse.to_zarr(tmp_path / "map.zarr", consolidated=False)
    back = xr.open_zarr(tmp_path / "map.zarr", consolidated=False).load()
    xr.testing.assert_identical(back, coarse)


def test_threads_change_nothing():
    one, two = (regime_map([0.5, 4, 40], [1, 30], [1, 1 / 8], threads=k) for k in (1, 2))
    xr.testing.assert_identical(one, two)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: regime_map([0.0]), "length_ratio: got"),
        (lambda: regime_map([1], [-5]), "voltage: got"),
        (lambda: regime_map([1], [5], []), "charge_ratio: got"),
        (lambda: regime_map([1], [5], ["a"]), "charge_ratio: got"),
        (lambda: regime_map([float("nan")]), "length_ratio: got"),
        (lambda: regime_map([10**400], [5]), "length_ratio: got"),
        (lambda: regime_map([1], [5], [1e-300]), "charge_ratio: got 1e-300; give greater ones"),
        (lambda: regime_map([1], [5, 5], [1]), "voltage: got .* each number once"),
        (lambda: regime_map([1], [5], [1], nodes=3), "nodes: got 3"),
        (lambda: regime_map([1], [5], [1], threads=0), "threads: got 0"),
        (lambda: regime_figure(regime_map([1], [5, 6], [1])), "length_ratio"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_figure(coarse):
    figure = regime_figure(coarse, "the command")
    maps, below = figure.subfigs
    panels = [axis for axis in maps.axes if axis.get_title()]
    assert [axis.get_title().splitlines()[1] for axis in panels][0] == "limit of b: 1/2 = 0.5000"
    assert maps.axes[0].get_ylabel() == "voltage / (kB T/e)"
    length = Cell.fig8(1.0).length_ratio
    stars = [line for line in maps.axes[0].lines if line.get_marker() == "*"]
    assert [line.get_xdata()[0] for line in stars] == [length, length]
    lines = below.axes[0].lines
    solid = [line.get_ydata() for line in lines if line.get_linestyle() == "-"][:3]
    dashed = [line.get_ydata() for line in lines if line.get_linestyle() == "--"]
    assert all((np.diff(y) < 1e-6).all() for y in solid)
    assert len(dashed) == 3 and all((np.diff(y) > -1e-6).all() for y in dashed)
    assert "the command" in below.get_supxlabel() and "cells converged" in below.get_supxlabel()
    assert png(figure)[:4] == b"\x89PNG"
    # Any other axes do as well, and a caption of any length.
    figure = regime_figure(regime_map([2, 0.5, 7], [3, 1], [0.2]), "a command " * 30)
    figure.draw_without_rendering()
    whole = figure.bbox
    _, below = figure.subfigs
    for text in (below.axes[0].title, below._supxlabel):
        extent = text.get_window_extent()
        assert whole.x0 <= extent.x0 and extent.x1 <= whole.x1


def test_command_line(capsys, tmp_path):
    status, out, _ = run(
        capsys, "regimes", "--length-ratio", "0.1", "1", "10", "--voltage", "1", "10",
        "--charge-ratio", "1", "0.375", "--out", str(tmp_path / "r.nc"),
        "--plot", str(tmp_path / "r.png"),
    )  # fmt: skip
    assert status == 0 and "12 of 12 cells converged" in out
    with xr.open_dataset(tmp_path / "r.nc") as found:
        assert dict(found.b.sizes) == {"length_ratio": 3, "voltage": 2, "charge_ratio": 2}
    assert (tmp_path / "r.png").stat().st_size > 10000
    status, out, _ = run(capsys, "regimes", "--help")
    assert status == 0 and "example:\n  pnpfuse regimes" in out
    status, _, err = run(capsys, "regimes", "--voltage", "0")
    assert status == 2 and "voltage: got" in err and err.count("\n") == 1


def test_map_and_its_inverse_on_the_command_line(capsys, tmp_path):
    status, out, _ = run(capsys, "map", "image=4096", "text=128", "--voltage", "50")
    assert status == 0
    for said in ("1/33 = 0.0303", "0.0297", "0.00061 below", "feels only 1.6 kB T"):
        assert said in out
    path, plot = tmp_path / "cell.nc", tmp_path / "cell.png"
    status, out, _ = run(
        capsys, "map", "--b", "0.3", "--n", "3", "--out", str(path), "--plot", str(plot)
    )
    assert status == 0 and "n = 3, b = 0.30000000 at 20 kB T/e" in out and plot.exists()
    with xr.open_dataset(path) as solution:
        assert hyperparameters_from(solution).b == pytest.approx(0.3, abs=1e-8)
    status, out, _ = run(capsys, "map", "--b", "0.7", "--n", "40", "--voltage", "4")
    assert "void: only 51%" in out and "no modality" in out and "not at the limit" in out
    status, _, _ = run(capsys, "map", "a=64", "b=24", "--plot", str(tmp_path / "two.png"))
    assert status == 0 and (tmp_path / "two.png").exists()
    for bad, said in (("map --b 1.5", "b: got 1.5"), ("map a=3 b=4 --b 0.5", "beside --b")):
        status, _, err = run(capsys, *bad.split())
        assert status == 2 and said in err
