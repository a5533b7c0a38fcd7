import math

import naive_neighbours as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from pnpfuse_analysis.information.kraskov import (
    kl_entropy,
    ksg_conditional,
    ksg_information,
    ksg_total,
    mixed_information,
    ross_information,
)

ENGINES = ["kdtree", "compiled", "brute"]


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def chain(n, d=1, seed=0):
    """x -> z -> y and a common part: Gaussian, with all pairs dependent."""
    z = noise(n, d, seed=seed)
    x, y = (z + noise(n, d, seed=seed + i) for i in (1, 2))
    return x, y, z


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("d", "k"), [(1, 1), (2, 3), (5, 2)])
def test_total_and_conditional_agree_with_their_definitions(engine, d, k):
    parts = chain(150, d)
    arrays = [part.numpy() for part in parts]
    found = ksg_total(parts, k, engine, chunk=37)
    np.testing.assert_allclose(found, naive.ksg_total(arrays, k), rtol=0, atol=1e-12)
    found = ksg_conditional(*parts, k, engine, chunk=37)
    np.testing.assert_allclose(found, naive.ksg_conditional(*arrays, k), rtol=0, atol=1e-12)
    found = ksg_information(*parts[:2], k, engine, chunk=37)
    np.testing.assert_allclose(found, naive.ksg_total(arrays[:2], k), rtol=0, atol=1e-12)


def test_information_agrees_with_scikit_learn():
    x, y, _ = chain(800)
    scaled = [part / part.std(correction=0) for part in (x, y)]
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=4, random_state=0)
    assert float(ksg_information(*scaled, 4).mean()) == pytest.approx(float(theirs[0]), abs=1e-3)


@pytest.mark.parametrize("d", [1, 2])
def test_gaussian_chain_has_its_closed_forms(d):
    # cov(x, y, z) = [[2, 1, 1], [1, 2, 1], [1, 1, 1]]: I(x;y) = log(4/3)/2, I(x;y|z) = 0,
    # I(x;z|y) = I(x;yz) - I(x;y) = log(2)/2 - log(4/3)/2, TC = log(2 * 2 * 1 / 1) / 2.
    x, y, z = chain(4000, d)
    for local, truth in (
        (ksg_information(x, y, 3), d * math.log(4 / 3) / 2),
        (ksg_conditional(x, y, z, 3), 0.0),
        (ksg_conditional(x, z, y, 3), d * math.log(1.5) / 2),
        (ksg_total((x, y, z), 3), d * math.log(2)),
    ):
        spread = float(local.std()) / math.sqrt(4000)
        assert float(local.mean()) == pytest.approx(truth, abs=4 * spread + 0.06 * d)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_constant_condition_is_none(engine):
    x, y, _ = chain(300, 2)
    still = torch.full((300, 1), 0.3, dtype=torch.float64)
    found = ksg_conditional(x, y, still, 3, engine)
    np.testing.assert_allclose(found, ksg_information(x, y, 3, engine), rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("levels", [1, 4])
def test_equal_values_agree_with_their_definition(engine, levels):
    parts = [(part * levels).round().relu() / levels for part in chain(120)]
    x, y, z = (part.numpy() for part in parts)
    found = ksg_total(parts, 3, engine)
    np.testing.assert_allclose(found, naive.ksg_total((x, y, z), 3), rtol=0, atol=1e-12)
    found = ksg_conditional(*parts, 3, engine)
    np.testing.assert_allclose(found, naive.ksg_conditional(x, y, z, 3), rtol=0, atol=1e-12)
    label = torch.arange(120) % 3
    found = ross_information(label, parts[0], 3, engine)
    expected = naive.ross_information(label.numpy(), x, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [20, 10, 4, 1])
def test_rounded_values_read_nearly_as_unrounded_ones(steps):
    # Counted with the same k throughout, they would read 1.1 to 10 nats at N = 4000.
    for rho in (0.0, 0.8):
        x, y = noise(4000, 1), noise(4000, 1, seed=1)
        y = rho * x + math.sqrt(1 - rho**2) * y
        rounded = [(part * steps).round() / steps for part in (x, y)]
        found = float(ksg_information(*rounded, 3).mean())
        assert found == pytest.approx(float(ksg_information(x, y, 3).mean()), abs=0.15)


@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 4),
    n=st.integers(5, 40),
    levels=st.sampled_from([1, 2, 5, 10**6]),
    power=st.sampled_from([-660, 0, 660]),
)
@settings(max_examples=40, deadline=None)
def test_symmetry_order_ties_and_scale(seed, k, n, levels, power):
    x, y, z = ((part * levels).round() / levels for part in chain(n, 2, seed))
    x, y, z = (torch.from_numpy(np.ldexp(part.numpy(), power)) for part in (x, y, z))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for estimate in (
        lambda a, b, engine="auto": ksg_information(a, b, k, engine),
        lambda a, b, engine="auto": ksg_conditional(a, b, z, k, engine),
        lambda a, b, engine="auto": mixed_information(a, b, k, engine),
    ):
        base = estimate(x, y)
        assert torch.isfinite(base).all()
        torch.testing.assert_close(estimate(y, x), base, rtol=0, atol=1e-12)
        for engine in ENGINES:
            assert torch.equal(estimate(x, y, engine), base)
    moved = ksg_information(x[order], y[order], k)
    assert torch.equal(moved, ksg_information(x, y, k)[order])


def test_as_few_samples_as_there_can_be():
    x, y, z = chain(4)
    # The third neighbour of four is the farthest sample.
    expected = naive.ksg_conditional(*(part.numpy() for part in (x, y, z)), 3)
    np.testing.assert_allclose(ksg_conditional(x, y, z, 3), expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="k must be below the number of samples, found k=4"):
        ksg_total((x, y, z), 4)


@pytest.mark.parametrize("engine", ENGINES)
def test_entropy_of_a_grid_is_that_of_its_spacing(engine):
    # Interior points have their second neighbour at distance 1: h = psi(N) - psi(2) + log 2.
    x = torch.arange(50.0, dtype=torch.float64)[:, None]
    local = kl_entropy(x, 2, "max", engine)
    assert local[1:-1].tolist() == pytest.approx([digamma(50) - digamma(2) + math.log(2)] * 48)
    assert kl_entropy(torch.zeros_like(x), 2, "l2", engine).tolist() == [-math.inf] * 50


def labelled(n, d=1, seed=0):
    """Unequal classes, the last label once only."""
    label = torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(seed)) ** 2
    label[-1] = 77
    return label, noise(n, d, seed=seed + 1) + label[:, None] / 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("d", "k"), [(1, 3), (4, 1), (2, 60)])
def test_labels_agree_with_their_definition(engine, d, k):
    label, x = labelled(130, d)
    found = ross_information(label, x, k, engine)
    assert len(found) == 129
    expected = naive.ross_information(label.numpy(), x.numpy(), k)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_labels_agree_with_scikit_learn():
    label, x = labelled(600)
    x /= x.std(correction=0)
    theirs = mutual_info_classif(x, label, n_neighbors=3, random_state=0)
    found = float(ross_information(label, x, 3).mean())
    assert found == pytest.approx(float(theirs[0]), abs=1e-3)


def test_labels_of_halves_have_one_bit():
    label = torch.arange(2000) % 2
    x = noise(2000, 2) + 100 * label[:, None]
    assert float(ross_information(label, x, 3).mean()) == pytest.approx(math.log(2), abs=1e-3)
    assert abs(float(ross_information(label, noise(2000, 2), 3).mean())) < 0.05
    with pytest.raises(ValueError, match="labels must repeat, found 5"):
        ross_information(torch.arange(5), noise(5, 1), 3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_mixtures_agree_with_their_definition(engine, levels):
    x, y, _ = chain(120, 2)
    x = (x * levels).round() / levels
    found = mixed_information(x, y, 4, engine)
    np.testing.assert_allclose(
        found, naive.mixed_information(x.numpy(), y.numpy(), 4), rtol=0, atol=1e-12
    )
    y = (y * levels).round() / levels
    found = mixed_information(x, y, 4, engine)
    np.testing.assert_allclose(
        found, naive.mixed_information(x.numpy(), y.numpy(), 4), rtol=0, atol=1e-12
    )


def test_mixtures_have_their_closed_forms():
    # x uniform on 0 ... m - 1 and y on [x, x + 2]: Gao et al., section 5.
    generator = torch.Generator().manual_seed(0)
    m, n = 5, 4000
    x = torch.randint(0, m, (n, 1), generator=generator).double()
    y = x + 2 * torch.rand(n, 1, dtype=torch.float64, generator=generator)
    truth = math.log(m) - (m - 1) / m * math.log(2)
    assert float(mixed_information(x, y, 3).mean()) == pytest.approx(truth, abs=0.05)
    # Discrete pairs: the plug-in estimate, up to psi for log.
    assert float(mixed_information(x, x, 3).mean()) == pytest.approx(math.log(m), abs=0.01)
    pair = torch.randint(0, m, (n, 1), generator=generator).double()
    assert abs(float(mixed_information(x, pair, 3).mean())) < 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same_numbers():
    x, y, z = chain(400, 3)
    label = torch.arange(400) % 3
    for estimate in (
        lambda x, y, z, _: ksg_conditional(x, y, z, 3),
        lambda x, y, z, _: ksg_total((x, y, z), 3),
        lambda x, y, _, label: ross_information(label, x, 3),
        lambda x, y, *_: mixed_information(x, y, 3),
    ):
        here = estimate(x, y, z, label)
        there = estimate(x.cuda(), y.cuda(), z.cuda(), label.cuda())
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-12)
