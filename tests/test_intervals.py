import math

import numpy as np
import pytest
import torch
from test_information import gaussian_pair, truth

from pnpfuse_analysis import entropy, mutual_information

UNIT = math.log(2 * math.pi * math.e) / 2


def coverage(trials, method, ci, n=500, rho=0.5):
    """Share of intervals that hold the truth, and mean width over that of the spread itself."""
    hits, widths, values = 0, [], []
    for seed in range(trials):
        x, y = gaussian_pair(n, rho, seed=10_000 + seed)
        seeded = torch.Generator().manual_seed(seed)
        found = mutual_information(x, y, method=method, ci=ci, generator=seeded)
        hits += found.ci[0] <= truth(rho) <= found.ci[1]
        widths.append(found.ci[1] - found.ci[0])
        values.append(float(found))
    return hits / trials, np.mean(widths) / (2 * 1.96 * np.std(values))


def test_half_samples_cover_the_truth_nine_times_in_ten():
    # At the nominal 95 % fewer than 36 of 40 have probability 0.05; it is above that (0.97).
    share, width = coverage(40, "ksg", "subsample")
    assert share >= 0.9
    assert 0.8 < width < 1.6


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "least"), [("subsample", 0.92), ("splits", 0.86), ("local", 0.86)])
def test_intervals_of_neighbours_over_many_trials(ci, least):
    share, _ = coverage(200, "ksg", ci)
    assert share >= least


@pytest.mark.parametrize(
    ("method", "ci"), [("gaussian", "subsample"), ("gaussian", "splits"), ("copula", "local")]
)
def test_intervals_of_covariances_cover(method, ci):
    # Fewer than 26 of 30 have probability 0.016.
    share, width = coverage(30, method, ci)
    assert share >= 26 / 30
    assert 0.7 < width < 1.6


def test_intervals_of_an_entropy_cover():
    hits = 0
    for seed in range(40):
        x = torch.randn(300, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        seeded = torch.Generator().manual_seed(seed)
        found = entropy(x, method="gaussian", ci="subsample", generator=seeded)
        hits += found.ci[0] <= UNIT <= found.ci[1]
    assert hits >= 35


def test_no_interval_covers_bias_but_the_sweep_shows_it():
    x, y = gaussian_pair(500, 0.9, 4)
    found = mutual_information(x, y, ci="subsample", sweep=2)
    assert found.ci[1] < truth(0.9, 4)
    assert any("drifts" in note for note in found.warnings)
    sizes, values = zip(*found.n_sweep, strict=True)
    assert sizes == (500, 250, 125)
    assert values[0] > values[1] > values[2]
    straight = mutual_information(x, y, method="gaussian", ci="subsample", sweep=2)
    assert straight.ci[0] < truth(0.9, 4) < straight.ci[1]
    assert not any("drifts" in note for note in straight.warnings)
