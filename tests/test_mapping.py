"""The bridge from a cell to (n, b): limits, symmetry, regimes, errors."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse import PMR, cell_for, hyperparameters, hyperparameters_from
from pnpfuse.mapping import Hyperparameters, mapping_dataset
from pnpfuse_solvers import Cell, solve_equilibrium

FOOD = {"image": 2048, "text": 768}


def test_the_cell_of_a_modality_is_neutral_and_oriented():
    cell = cell_for(FOOD, "image", n=4, voltage=20)
    assert cell.length_ratio == pytest.approx(4)
    assert cell.net_charge == pytest.approx(0.0, abs=1e-9 * 768e20)
    shared, specific = cell.ions
    assert (shared.valence, specific.valence) == (1.0, -768 / 2048)
    assert shared.concentration / specific.concentration == pytest.approx(768 / 2048)
    # The shared species, positive, gathers at x = 0.
    assert cell.potential[0] < 0 < cell.potential[1]
    c = solve_equilibrium(cell).concentration
    assert float(c.sel(species="shared")[0]) > float(c.sel(species="shared")[-1])


def test_strong_field_limit_at_the_printed_widths():
    found = hyperparameters(FOOD, voltage=50)
    assert found.b["image"] == pytest.approx(0.27273, abs=1e-4)
    assert found.b["text"] == pytest.approx(0.5, abs=1e-12)
    # 4096 beside 128 is not there yet: its specific species feels 50/32 kB T only.
    wide = hyperparameters_from(solve_equilibrium(cell_for({"v": 4096, "i": 128}, "v", voltage=50)))
    assert wide.b == pytest.approx(0.0297, abs=5e-5)
    assert abs(wide.b - 1 / 33) > 5e-4


@settings(max_examples=25, deadline=None)
@given(common=st.integers(1, 2000), factor=st.floats(1, 8), n=st.floats(0.5, 8))
def test_strong_field_limit(common, factor, n):
    """b -> l*/(l* + l_m), whatever n, once both species feel a strong field."""
    width = max(common, round(common * factor))
    dims = {"a": width, "b": common}
    voltage = 100.0 * width / common
    found = hyperparameters_from(solve_equilibrium(cell_for(dims, "a", n=n, voltage=voltage)))
    assert found.b == pytest.approx(common / (common + width), abs=1e-4)
    assert found.separation > 0.999
    assert found.void == ""


@pytest.mark.parametrize("voltage", [2, 5, 20, 50])
@pytest.mark.parametrize("n", [0.5, 4, 20])
def test_equal_widths_give_one_half(voltage, n):
    found = hyperparameters({"a": 512, "b": 512, "c": 600}, n=n, voltage=voltage)
    assert found.b["a"] == pytest.approx(0.5, abs=1e-9)
    assert found.b["a"] == found.b["b"] > found.b["c"]


def test_n_comes_back():
    for n in (0.3, 1, 4, 17.5):
        found = hyperparameters_from(solve_equilibrium(cell_for(FOOD, "text", n=n)))
        assert found.n == pytest.approx(n, rel=1e-12)


def test_b_falls_with_the_voltage_towards_its_absence():
    """The interface is a matter of the voltage: 4096 beside 128 has none at 5 kB T/e."""
    values = [
        hyperparameters_from(solve_equilibrium(cell_for({"v": 4096, "i": 128}, "v", voltage=u))).b
        for u in (200, 50, 20)
    ]
    assert values[0] > values[1] > values[2] > 0
    found = hyperparameters({"v": 4096, "i": 128}, voltage=5)
    assert math.isnan(found.b["v"]) and found.regime["v"] == "no interface"
    assert found.void.startswith("v: no interface") and "raise the voltage" in found.void


@pytest.mark.parametrize(
    "ratio, voltage, regime",
    [(0.1, 5, "unscreened"), (4, 5, "screened"), (4, 20, "depleted"), (1e4, 1, "no interface")],
)
def test_regimes(ratio, voltage, regime):
    solution = solve_equilibrium(Cell.dimensionless(ratio, voltage))
    assert hyperparameters_from(solution).regime == regime


def test_mixed_species_make_the_analogy_void():
    found = hyperparameters_from(solve_equilibrium(Cell.dimensionless(0.1, 1)))
    assert found.b == pytest.approx(0.5)
    assert "73%" in found.void


def test_the_block_takes_them_as_they_are():
    found = hyperparameters({"a": 64, "b": 16})
    assert PMR({"a": 64, "b": 16}, n=found.n, b=found.b).widths.boundary == {"a": 51, "b": 32}


def test_dataset(tmp_path):
    found = hyperparameters({"v": 4096, "i": 128}, voltage=50)
    dataset = mapping_dataset(found, {"v": 4096, "i": 128})
    assert list(dataset.modality.values) == ["v", "i"]
    assert dataset.attrs["dims"] == '{"v": 4096, "i": 128}'
    assert dataset.attrs["n"] == 4 and dataset.attrs["voltage"] == 50
    assert dataset.attrs["off_limit"] == found.off_limit
    assert {name: v.attrs["units"] for name, v in dataset.data_vars.items()} == {
        "b": "1", "separation": "1", "regime": "1", "width": "1", "limit": "1", "felt": "kB T",
    }  # fmt: skip
    for row, name in zip(found.rows(), dataset.modality.values, strict=True):
        assert [dataset[k].sel(modality=name).item() for k in row._fields] == list(row)
    dataset.to_netcdf(tmp_path / "mapping.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "mapping.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), dataset)
    one = Hyperparameters(4.0, 0.5, 1.0, "screened").rows()
    assert [row[:4] for row in one] == [("", 0.5, 1.0, "screened")]


# Widths of ten pairs, from equal to 200 times as wide.
PAIRS = [
    (512, 512), (96, 91), (1024, 768), (300, 200), (768, 384), (2048, 768), (512, 128),
    (1024, 128), (4096, 128), (12800, 64),
]  # fmt: skip


@pytest.mark.parametrize("n", [0.5, 1, 4])
@pytest.mark.parametrize("wide, narrow", PAIRS)
def test_where_the_weaker_species_feels_five_b_is_at_its_limit(wide, narrow, n):
    dims = {"a": wide, "b": narrow}
    found = hyperparameters(dims, n=n, voltage=5 * wide / narrow)
    assert found.limit == pytest.approx({"a": narrow / (wide + narrow), "b": 0.5})
    assert found.felt["a"] == pytest.approx(5) and found.felt["b"] == 5 * wide / narrow
    assert max(abs(found.b[m] - found.limit[m]) for m in dims) < 1e-4
    assert found.off_limit == ""


def test_what_is_not_at_the_limit_is_said_with_its_reason():
    found = hyperparameters({"image": 4096, "text": 128}, voltage=50)
    assert found.b["image"] - found.limit["image"] == pytest.approx(-6e-4, abs=5e-5)
    assert found.felt["image"] == pytest.approx(50 / 32)
    for said in ("image: b = 0.0297 is 0.00061 below", "1/33 = 0.0303", "valence 1/32",
                 "feels only 1.6 kB T", "voltage of 160"):  # fmt: skip
        assert said in found.off_limit
    assert "text" not in found.off_limit and found.void == ""
    assert hyperparameters({"image": 4096, "text": 128}, voltage=160).off_limit == ""
    # In long cells five is not enough: the ions screen what they feel.
    long = hyperparameters({"image": 1024, "text": 768}, n=8, voltage=5 * 4 / 3)
    assert long.felt["image"] == pytest.approx(5) and "8 Debye lengths" in long.off_limit
    assert abs(long.b["image"] - long.limit["image"]) > 1e-3
    assert long.off_limit.startswith("image: ")
    # Where there is no interface there is nothing to compare.
    assert hyperparameters({"image": 4096, "text": 128}, voltage=5).off_limit == ""


def test_voltage_and_width():
    found = hyperparameters(FOOD, voltage=13)
    assert found.voltage == 13
    solution = solve_equilibrium(cell_for(FOOD, "image", voltage=13))
    one = hyperparameters_from(solution)
    assert one.voltage == pytest.approx(13, rel=1e-14)
    assert one.width == found.width["image"] == float(solution.interface_width / solution.length)
    # In a straight potential the ratio of the two goes from 1/9 to 9 over ln 81 / (2 U (1 + r)).
    r, u = 768 / 2048, 30
    cell = cell_for(FOOD, "image", n=1e-3, voltage=u)
    expected = math.log(81) / (2 * u * (1 + r))
    assert hyperparameters_from(solve_equilibrium(cell)).width == pytest.approx(expected, rel=1e-6)


def test_the_limit_of_cells_of_any_make():
    """From x = 0, whichever species is there; none where the strong field has none."""
    ions = {"valences": (2, -1), "concentrations": (1, 2)}
    mirrored = hyperparameters_from(solve_equilibrium(Cell.dimensionless(4, 30, **ions)))
    assert mirrored.limit == pytest.approx(2 / 3) == pytest.approx(mirrored.b, abs=1e-4)
    cell = hyperparameters_from(solve_equilibrium(Cell.dimensionless(4, -30, **ions)))
    assert cell.limit == pytest.approx(1 / 3) and cell.felt == pytest.approx(30)
    for other in (
        Cell.dimensionless(4, 2, contact="reservoir"),
        Cell.dimensionless(4, 2, (1, 1, -1), (1, 1, 2)),
        Cell.dimensionless(4, 0),
    ):
        found = hyperparameters_from(solve_equilibrium(other))
        assert math.isnan(found.limit) and found.off_limit == ""


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: hyperparameters({"a": 3}), "dims: got"),
        (lambda: hyperparameters([3, 4]), "dims: got"),
        (lambda: hyperparameters({"a": 3, "b": 0}), r"dims\['b'\]: got 0"),
        (lambda: hyperparameters({"a": 3, "b": 10**400}), r"dims\['b'\]: got 1000.*from 1 to 9007"),
        (lambda: hyperparameters({"a": 3, "b": 1.5}), r"dims\['b'\]: got 1.5"),
        (lambda: cell_for(FOOD, "audio"), "modality: got 'audio'; give one of image, text"),
        (lambda: cell_for(FOOD, "text", n=-1), "n: got -1"),
        (lambda: cell_for(FOOD, "text", voltage=float("nan")), "voltage: got nan"),
        (lambda: hyperparameters_from(xr.Dataset()), "solution: got Dataset"),
        (lambda: hyperparameters_from(3), "solution: got int"),
        (
            lambda: hyperparameters_from(
                solve_equilibrium(Cell.dimensionless(1000, 40), nodes=11, throw=False)
            ),
            "outcome 'unresolved layer'",
        ),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_separation_is_the_worse_of_the_two():
    solution = solve_equilibrium(cell_for({"v": 4096, "i": 128}, "v", voltage=20))
    found = hyperparameters_from(solution)
    assert found.separation == pytest.approx(float(np.min(solution.separation)))
