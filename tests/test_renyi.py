import math

import naive_information as naive
import numpy as np
import pytest
import torch
from test_information import gaussian_pair, noise

from pnpfuse_analysis import Renyi, entropy, mutual_information
from pnpfuse_analysis.information.renyi import gaussian_kernel, median_distance, renyi_entropy


@pytest.mark.parametrize("alpha", [1.01, 2.0, 0.5])
def test_entropy_agrees_with_the_matrix_power(alpha):
    x = noise(30, 2)
    found = entropy(x, method=Renyi(alpha, 0.7), whiten=False)
    assert float(found) == pytest.approx(
        naive.renyi_entropy(naive.gaussian_kernel(x.numpy(), 0.7), alpha), abs=1e-9
    )
    assert found.local is None
    assert found.ceiling == math.log(30)


def test_orders_meet_at_one():
    kernel = gaussian_kernel(noise(40, 2), 0.5)
    at, near = (float(renyi_entropy([kernel], alpha)) for alpha in (1, 1 + 1e-6))
    assert near == pytest.approx(at, abs=1e-4)
    shares = np.linalg.eigvalsh(kernel.numpy() / 40)
    assert at == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-9)


def test_all_alike_and_all_apart():
    assert float(entropy(torch.ones(50), method="renyi")) == pytest.approx(0, abs=1e-9)
    apart = entropy(torch.arange(50.0), method=Renyi(bandwidth=1e-3))
    assert float(apart) == pytest.approx(math.log(50), abs=1e-9)


def test_the_level_is_the_bandwidths_and_the_value_is_not():
    # 16 independent dimensions a side, N = 400: the raw level is 5.99, 5.81, 0.51 and 0.01.
    x, y = noise(400, 16), noise(400, 16, seed=9)
    for factor, level in ((0.1, 5.99), (0.3, 5.81), (1, 0.51), (3, 0.01)):
        method = Renyi(bandwidth=factor * median_distance(x), permutations=1)
        found = mutual_information(x, y, method=method, standardise=False)
        raw = float(next(n for n in found.warnings if "S(x)" in n).split(" is ")[1].split(",")[0])
        assert raw == pytest.approx(level, abs=0.03)
        assert abs(float(found)) < 0.01


def test_dependence_shows_against_broken_pairs():
    seeded = torch.Generator().manual_seed(0)
    x, y = gaussian_pair(150, 0.8)
    found = mutual_information(x, y, method="renyi", null=19, ci="subsample", generator=seeded)
    assert found.p_value == 0.05
    assert 0 < found.ci[0] < float(found) < found.ci[1]
    assert abs(found.null_mean) < 0.03 < float(found)
    ring = noise(200, 2)
    ring = ring / ring.norm(dim=1, keepdim=True)  # no correlation at all
    found = mutual_information(ring[:, 0], ring[:, 1], method="renyi", null=19, generator=seeded)
    assert found.p_value == 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha must be above 0, found 0"),
        ({"bandwidth": "mean"}, "bandwidth must be 'median' or above 0, found 'mean'"),
        ({"bandwidth": 0.0}, "bandwidth must be"),
        ({"bandwidth": math.inf}, "bandwidth must be"),
        ({"permutations": 0}, "permutations must be a whole number >= 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Renyi(**options)


def test_what_it_cannot_do_is_refused():
    x = noise(50, 1)
    with pytest.raises(ValueError, match="ci='local' needs the local values"):
        mutual_information(x, x, method="renyi", ci="local")
    with pytest.raises(ValueError, match="at most N=8192 samples, found N=8193"):
        entropy(torch.zeros(8193), method="renyi")
    with pytest.raises(ValueError, match="y must be continuous"):
        mutual_information(x, torch.arange(50), method="renyi")
