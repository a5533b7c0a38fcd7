import math

import naive_information as naive
import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from test_information import gaussian_pair, noise, truth

from pnpfuse_analysis import mutual_information
from pnpfuse_analysis.information.reduction import canonical_maps, shrunk_whitening


def hidden_pair(n, rho, d, seed=0):
    """One correlated pair, and noise in all other coordinates, mixed by a rotation."""
    x, y = gaussian_pair(n, rho, 1, seed)
    turns = [torch.linalg.qr(noise(d, d, seed=seed + s)).Q for s in (50, 51)]
    wide = [torch.cat((z, noise(n, d - 1, seed=seed + s)), 1) for z, s in ((x, 60), (y, 61))]
    return wide[0] @ turns[0], wide[1] @ turns[1]


@pytest.mark.parametrize(("n", "d"), [(500, 4), (60, 20), (30, 50)])
def test_shrinkage_is_that_of_ledoit_and_wolf(n, d):
    x = noise(n, d) @ noise(d, d, seed=1)
    theirs = LedoitWolf().fit(x.numpy()).covariance_
    matrix = shrunk_whitening(x).matrix
    # On the span of the samples the whitening undoes their covariance.
    kept = matrix.T @ torch.from_numpy(theirs) @ matrix
    torch.testing.assert_close(kept, torch.eye(len(kept), dtype=kept.dtype), rtol=0, atol=1e-9)
    assert len(kept) == min(d, n - 1)


def test_canonical_pairs_have_the_angles_of_linear_algebra():
    x, y = gaussian_pair(4000, 0.6, 3)
    y = y @ noise(3, 3, seed=2)
    maps = canonical_maps(x, y, 3)
    u, v = maps[0](x), maps[1](y)
    found = [np.corrcoef(u[:, j], v[:, j])[0, 1] for j in range(3)]
    np.testing.assert_allclose(found, naive.canonical_correlations(x.numpy(), y.numpy()), atol=1e-3)


@pytest.mark.parametrize(("rho", "low", "high"), [(0.5, -0.2, 0.2), (0.9, -0.6, 0.5)])
def test_pairs_in_many_dimensions_need_canonical_ones(rho, low, high):
    # 16 + 16 dimensions: neighbours alone see a quarter of it.
    x, y = gaussian_pair(4000, rho, 16)
    exact = truth(rho, 16)
    found = mutual_information(x, y, reduce="cca")
    assert low < float(found) - exact < high
    assert any("canonical pairs" in note for note in found.warnings)
    raw = mutual_information(x[:1000], y[:1000])
    assert float(raw) < 0.35 * exact
    assert any("reads low" in note for note in raw.warnings)


def test_a_pair_hidden_in_noise_is_found():
    x, y = hidden_pair(4000, 0.9, 16)
    found = mutual_information(x, y, reduce="cca", components=1)
    assert float(found) == pytest.approx(truth(0.9), abs=0.07)
    assert found.d == 2
    assert float(mutual_information(x[:1000], y[:1000])) < 0.25


@pytest.mark.parametrize(("n", "d", "most"), [(1000, 16, 0.25), (200, 60, 0.4), (100, 200, 0.4)])
def test_independent_samples_stay_near_zero(n, d, most):
    # Fitted and measured on the same samples, d >= N would give I = inf.
    x, y = noise(n, d), noise(n, d, seed=1)
    seeded = torch.Generator().manual_seed(0)
    found = mutual_information(x, y, reduce="cca", null=4, generator=seeded)
    assert abs(float(found)) < most
    assert abs(found.null_mean) < most / 2


@pytest.mark.parametrize("reduce", ["pca", "cca"])
def test_samples_of_low_rank(reduce):
    x, y = gaussian_pair(2000, 0.9)
    a, b = noise(1, 16, seed=5), noise(1, 16, seed=6)
    for factor in (1, 1e150):
        found = mutual_information(x @ a * factor, y @ b, reduce=reduce)
        assert float(found) == pytest.approx(truth(0.9), abs=0.07)


def test_principal_components_keep_what_they_say():
    x, y = gaussian_pair(600, 0.8, 5)
    x = x * torch.tensor([3.0, 2.0, 1.0, 0.1, 0.1])
    found = mutual_information(x, y[:, :1], reduce="pca", components=3, standardise=False)
    share = PCA(3).fit(x.numpy()).explained_variance_ratio_.sum()
    assert any(f"3 of 5 dimensions of x keep {share:.1%}" in note for note in found.warnings)
    expected = mutual_information(PCA(3).fit_transform(x.numpy()), y[:, :1], standardise=False)
    assert float(found) == pytest.approx(float(expected), abs=1e-9)
    assert found.d == 4


def test_labels_go_beside_principal_components():
    labels = noise(500)[:] > 0
    x = torch.cat((noise(500, 1, seed=1) + 3 * labels[:, None], 0.01 * noise(500, 9, seed=2)), 1)
    found = mutual_information(labels, x, method="label", reduce="pca", standardise=False)
    assert float(found) > 0.4
    with pytest.raises(ValueError, match="x must be continuous"):
        mutual_information(labels.long(), x, reduce="cca")


@pytest.mark.parametrize("method", ["gaussian", "copula", "histogram", "mixed", "renyi"])
def test_any_method_may_measure_the_pairs(method):
    x, y = hidden_pair(400, 0.9, 6)
    found = mutual_information(x, y, method=method, reduce="cca", components=2)
    assert 0.2 < float(found) < 1.1
    assert found.method == f"{method} of canonical pairs"
    assert (found.local is None) == (method == "renyi")
    assert math.isfinite(float(found))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduce": "umap"}, "reduce must be one of None, 'pca', 'cca', found 'umap'"),
        ({"components": 2}, "components=2 asks for reduce='pca' or reduce='cca'"),
        ({"reduce": "cca", "components": 0}, "components must be a whole number >= 1"),
        ({"reduce": "cca", "k": 10}, r"2 k . 1=21 asks for more than 21 samples, found 20"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(noise(20, 3), noise(20, 3, seed=1), **options)
