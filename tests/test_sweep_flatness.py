"""Trends and spreads of a sweep against what was planted, and against their printed certainty."""

import numpy as np
import pytest
import xarray as xr
from planted_sweep import planted_sweep
from scipy import stats

from pnpfuse.sweep.sensitivity import ALONG, flatness
from pnpfuse.sweep.verdicts import flatness_said

N, B, TRIALS = (0.5, 1, 2, 4), (0.1, 0.3, 0.5, 0.7, 0.9), 2000


def trials(mean, *, seeds=4, scatter=1.0, random=1):
    """Independent sweeps in percent, each a condition; a seed shifts all its cells together."""
    rng = np.random.default_rng(random)
    shape = len(N), len(B), seeds, TRIALS
    n, b = np.array(N)[:, None, None, None], np.array(B)[:, None, None]
    values = mean(n, b) + rng.normal(0, scatter, shape) + rng.normal(0, 5, (1, 1, seeds, TRIALS))
    coords = {"n": list(N), "b": list(B), "seed": range(seeds), "condition": range(TRIALS)}
    return xr.Dataset({"accuracy": (tuple(coords), values / 100)}, coords)


def coverage(flat, truth, along="n b"):
    one = flat.sel(along=along)
    return float(((one.slope_low <= truth) & (truth <= one.slope_high)).mean())


@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize("rise", [0.0, 3.0])
def test_intervals_hold_as_often_as_they_say(side, rise):
    flat = flatness(trials(lambda n, b: 70 + rise * np.log10(n * b))).sel(side=side)
    # 95 times in 100, within what 2000 trials can tell: 4 of their standard errors.
    assert abs(coverage(flat, rise) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / TRIALS)
    assert abs(coverage(flat, rise, "n") - 0.95) < 4 * np.sqrt(0.95 * 0.05 / TRIALS)
    assert abs(coverage(flat, 0.0, "n - b") - 0.95) < 4 * np.sqrt(0.95 * 0.05 / TRIALS)


def test_equal_cells_spread_more_than_chance_once_in_twenty_times():
    flat = flatness(trials(lambda n, b: 70))
    often = (flat.spread > flat.chance).mean("condition")
    assert (abs(often - 0.05) < 4 * np.sqrt(0.95 * 0.05 / TRIALS)).all()
    step = flatness(trials(lambda n, b: 70 + 8 * (n == 2))).sel(side="above")
    assert (step.spread > step.chance).mean() > 0.99


def test_slopes_are_those_of_least_squares_for_each_seed():
    sweep = planted_sweep(lambda n, b: 0.7 + 0.05 * np.log10(n) - 0.1 * b, 0.02)
    flat = flatness(sweep)
    values = 100 * sweep.accuracy.sel(condition="each")
    cells = [(n, b) for n in N for b in B if n * b < 1 - 1e-9]
    assert int(flat.cells.sel(side="below")) == len(cells) == 13
    x = np.log10(np.array(cells))  # (cell, 2)
    y = np.array([values.sel(n=n, b=b).values for n, b in cells])  # (cell, seed)
    alone = [stats.linregress(x.sum(1), one).slope for one in y.T]
    design = np.column_stack([np.ones(len(x)), x])
    both = np.linalg.lstsq(design, y, rcond=None)[0][1:]  # (2, seed)
    expected = np.array([alone, *both, both[0] - both[1]])  # (along, seed)
    found = flat.sel(side="below", condition="each")
    np.testing.assert_allclose(found.slope, expected.mean(1), rtol=1e-10)
    np.testing.assert_allclose(found.slope_error, stats.sem(expected, axis=1), rtol=1e-10)
    ends = stats.t.interval(0.95, 2, expected.mean(1), stats.sem(expected, axis=1))
    np.testing.assert_allclose([found.slope_low, found.slope_high], ends, rtol=1e-10)


def test_what_seeds_do_to_all_cells_alike_drops_out():
    sweep = planted_sweep(scatter=0.02)
    shifted = sweep.assign(accuracy=sweep.accuracy + 0.05 * sweep.seed)
    xr.testing.assert_allclose(flatness(sweep), flatness(shifted), rtol=1e-9)


@pytest.mark.parametrize(
    "mean, below, above",
    [
        (lambda n, b: 0.8 + 0 * n * b, "flat within ±", "flat within ±"),
        (lambda n, b: 0.8 + 0.1 * np.log10(n * b), "rises by", "rises by"),
        (lambda n, b: 0.8 + 0.1 * np.minimum(0, np.log10(n * b)), "rises by", "flat within"),
        (lambda n, b: 0.8 - 0.1 * b + 0 * n, "falls by", "falls by"),
        (
            lambda n, b: 0.8 + 0.1 * ((n == 2) & (b == 0.9)),
            "flat within",
            "yet the cells differ by",
        ),
    ],
    ids=["flat", "rising", "step", "falling", "one odd cell"],
)
def test_words(mean, below, above):
    said = flatness_said(flatness(planted_sweep(mean, 0.02, seeds=20, random=5)), margin=3)[0]
    left, right = said.split("; ")
    assert left.startswith("All present: n b < 1 (0.05 to 0.9): ") and below in left
    assert right.startswith("n b >= 1 (1 to 3.6): ") and above in right


def test_words_tell_n_from_b():
    by_n = flatness(planted_sweep(lambda n, b: 0.8 + 0.1 * np.log10(n) + 0 * b, 0.001))
    assert "not by n b alone: rises by 10.0" in flatness_said(by_n)[0]
    by_product = flatness(planted_sweep(lambda n, b: 0.8 + 0.1 * np.log10(n * b), 0.001))
    assert "alone" not in flatness_said(by_product)[0]


def test_a_wide_interval_is_not_called_flat():
    flat = flatness(planted_sweep(scatter=0.05, seeds=2))
    assert "no trend seen, one within" in flatness_said(flat)[0]
    assert "flat within" in flatness_said(flat, margin=1000)[0]


def test_equal_values_are_flat_to_the_last_digit():
    flat = flatness(planted_sweep(lambda n, b: 0.1 + 0.2, 0.0))
    assert float(abs(flat.slope).max()) == 0.0 and float(flat.chance.max()) == 0.0
    assert "flat within ±0.0 points; n b >= 1" in flatness_said(flat)[0]


def test_a_rounding_error_is_no_trend_of_n_alone():
    sweep = planted_sweep(lambda n, b: 0.8 + 0.05 * np.log10(n * b), 0.0)
    for said in flatness_said(flatness(sweep)):
        assert said.count("rises by 5.0 ± 0.0 points a decade") == 2 and "alone" not in said


def test_another_variable_and_another_place():
    flat = flatness(planted_sweep(), "loss", at=0.5)
    assert flat.slope.attrs["units"] == "1 a decade" and float(flat.least.sel(side="above")) == 0.5
    assert "points" not in flatness_said(flat)[0]


def test_one_is_not_below_one_for_rounding():
    third = planted_sweep(n=(10 / 3, 100 / 3), b=(0.03, 0.3))  # 0.09999999999999999 ...
    assert int(flatness(third).cells.sel(side="above")) == 3


def test_one_seed_one_cell_and_unfinished_ones():
    sweep = planted_sweep()
    one = flatness(sweep.isel(seed=[0]))
    assert np.isfinite(one.slope).all() and np.isnan(one.slope_error).all()
    assert np.isnan(one.chance).all() and "one seed, which cannot" in flatness_said(one)[0]
    point = flatness(sweep.isel(n=[0], b=[0]))
    assert np.isnan(point.slope).all() and int(point.cells.sum()) == 1
    assert "n b >= 1: too few values" in flatness_said(point)[0]
    line = flatness(sweep.isel(n=[2]))
    assert np.isfinite(line.slope.sel(along="n b")).all()
    assert np.isnan(line.slope.sel(along=["n", "b", "n - b"])).all()
    sweep.outcome[0, 0, 1] = 0
    sweep.outcome[1, 1, 2] = 2
    assert int(flatness(sweep).cells.sum()) == 18
    sweep.outcome[:, :, 0] = 0
    assert flatness(sweep).attrs["seeds"] == 2
    assert "NaN" not in " ".join(flatness_said(flatness(sweep)))


def test_refused():
    sweep = planted_sweep()
    with pytest.raises(ValueError, match="sweep: got dict"):
        flatness({})
    with pytest.raises(ValueError, match="gradient_cosine.*is over"):
        flatness(sweep, "gradient_cosine")
    with pytest.raises(ValueError, match="no 'accurracy' over its points; take one of accuracy"):
        flatness(sweep, "accurracy")
    with pytest.raises(ValueError, match="at must be a finite number"):
        flatness(sweep, at=np.nan)
    with pytest.raises(ValueError, match="margin must be"):
        flatness_said(flatness(sweep), margin=-1)
    for k in range(3):
        sweep.outcome[:, k::3, k] = 0
    with pytest.raises(ValueError, match="no cell .n, b. that all its seeds have finished"):
        flatness(sweep)


def test_saved_and_read_back(tmp_path):
    flat = flatness(planted_sweep())
    flat.to_netcdf(tmp_path / "flat.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "flat.nc") as again:
        xr.testing.assert_equal(flat, again)
        assert flatness_said(again) == flatness_said(flat)
    assert list(flat.along.values) == list(ALONG)
    assert all({"units", "long_name"} <= set(flat[name].attrs) for name in flat.variables)
