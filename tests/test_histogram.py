import math

import numpy as np
import pytest
import torch
from scipy import stats
from test_information import gaussian_pair, noise

from pnpfuse_analysis import Histogram, entropy, mutual_information


@pytest.mark.parametrize("edges", ["quantile", "width"])
@pytest.mark.parametrize(("rho", "bias"), [(0.0, 0.03), (0.5, 0.03), (0.9, 0.06)])
def test_histograms_of_gaussian_pairs(edges, rho, bias):
    x, y = gaussian_pair(3000, rho)
    found = mutual_information(x, y, method=Histogram(edges=edges))
    exact = -math.log(1 - rho**2) / 2
    assert float(found) == pytest.approx(exact, abs=3 * found.stderr + bias)
    # A diagonal of 19 equally full cells, with the Miller-Madow term.
    assert found.ceiling == pytest.approx(math.log(19) + 18 / 6000)


def test_histogram_counts_are_those_of_numpy():
    x, y = (part[:, 0] for part in gaussian_pair(500, 0.7))
    table = np.histogram2d(x, y, bins=8)[0] / 500
    outer = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    seen = table > 0
    plug_in = (table[seen] * np.log(table[seen] / outer[seen])).sum()
    excess = (outer.any(1).sum() + outer.any(0).sum() - seen.sum() - 1) / 1000
    found = mutual_information(x, y, method=Histogram(8, "width"))
    assert float(found) == pytest.approx(plug_in + excess, abs=1e-9)
    counts, edges = np.histogram(x, bins=8)
    law = stats.rv_histogram((counts, edges))
    found = entropy(x, method=Histogram(8, "width"))
    assert float(found) == pytest.approx(float(law.entropy()) + (np.sum(counts > 0) - 1) / 1000)


def test_histograms_follow_heavy_tails_units_and_ties():
    x, y = gaussian_pair(2000, 0.75)
    scale = torch.from_numpy(np.random.default_rng(0).chisquare(1, (2000, 1)) ** 0.5)
    # Truth 0.638 for the t law of one degree of freedom.
    assert float(mutual_information(x / scale, y / scale, method="histogram")) == pytest.approx(
        0.638, abs=0.12
    )
    base = float(mutual_information(x, y, method="histogram"))
    for factor in (1e-200, 1e200):
        assert float(mutual_information(x * factor, y, method="histogram")) == pytest.approx(base)
        assert float(entropy(x * factor, method="histogram")) == pytest.approx(
            float(entropy(x, method="histogram")) + math.log(factor)
        )
    tied = mutual_information(x.round(), y.round(), method=Histogram(4))
    assert math.isfinite(float(tied))
    flat = entropy(torch.stack((x[:, 0], torch.ones(2000)), 1), method="histogram")
    assert flat.d == 1
    assert any("1 of its 2 dimensions" in note for note in flat.warnings)
    assert float(entropy(torch.ones(30), method="histogram")) == -math.inf
    with pytest.raises(ValueError, match="at most 4 columns in all, found 6"):
        mutual_information(noise(50, 3), noise(50, 3), method="histogram")
    for options in ({"bins": 1}, {"edges": "equal"}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            Histogram(**options)
