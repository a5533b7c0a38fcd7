import math

import naive_information as naive
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_information import gaussian_pair, noise, truth

from pnpfuse_analysis import mutual_information
from pnpfuse_analysis.information.copula import normal_scores


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-1e9, 1e9)), min_size=1, max_size=30))
def test_normal_scores_are_quantiles_of_mean_ranks(rows):
    x = np.array(rows, float)
    expected = stats.norm.ppf(stats.rankdata(x, axis=0) / (len(x) + 1))
    np.testing.assert_allclose(normal_scores(torch.from_numpy(x)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("d", "bias"), [(1, 0.02), (4, 0.03), (16, 0.05)])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_gaussian_pairs_have_their_closed_form(d, bias, rho):
    x, y = gaussian_pair(2000, rho, d, seed=3)
    found = mutual_information(x, y, method="copula")
    assert float(found) == pytest.approx(truth(rho, d), abs=2 * found.stderr + bias)


def test_monotone_maps_of_a_column_change_nothing():
    x, y = gaussian_pair(500, 0.7, 2)
    base = float(mutual_information(x, y, method="copula"))
    bent = torch.stack((x[:, 0].exp() * 1e8, -(x[:, 1] ** 3)), 1)
    assert float(mutual_information(bent, y.sinh(), method="copula")) == pytest.approx(
        base, abs=1e-9
    )


def test_heavy_tails_leave_it_calm_and_low():
    # A shared scale is information that no Gaussian copula holds: truth 0.638, value 0.41 - 0.1.
    found, plain = [], []
    for seed in range(10):
        x, y = gaussian_pair(2000, 0.75, seed=seed)
        scale = np.random.default_rng(seed).chisquare(1, (2000, 1)) ** 0.5
        x, y = x / torch.from_numpy(scale), y / torch.from_numpy(scale)
        found.append(float(mutual_information(x, y, method="copula")))
        plain.append(mutual_information(x, y, method="gaussian"))
    gap = np.mean(found) - naive.student_information(0.75, 1, 1)
    assert gap == pytest.approx(-0.346, abs=0.05)
    assert np.std(found) < 0.05 < np.std([float(one) for one in plain])
    assert all(any("heavy tails" in note for note in one.warnings) for one in plain)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_one_shared_direction_in_many_coordinates_is_found(dtype):
    x, y = gaussian_pair(2000, 0.9)
    a, b = noise(1, 16, seed=5), noise(1, 16, seed=6)
    found = mutual_information((x @ a).to(dtype), (y @ b).to(dtype), method="copula")
    assert float(found) == pytest.approx(truth(0.9), abs=0.05)
    half = dtype == torch.bfloat16
    assert any("relative steps of 0.008" in note for note in found.warnings) == half


def test_it_says_what_it_is_blind_to():
    x = noise(2000, 1)
    found = mutual_information(x, x**2, method="copula")
    assert abs(float(found)) < 0.01
    assert any("monotone" in note for note in found.warnings)


def test_edges_of_its_range():
    x = noise(100, 2)
    assert float(mutual_information(x, x, method="copula")) == math.inf
    constant = mutual_information(x, torch.ones(100), method="copula")
    assert float(constant) == 0
    assert any("y is constant" in note for note in constant.warnings)
    with pytest.raises(ValueError, match="d_x . d_y=100 asks for more than 100"):
        mutual_information(x, noise(100, 98), method="copula")
    ranks = torch.arange(100) // 10
    assert mutual_information(x, ranks, method="copula").tie_fraction == 1
