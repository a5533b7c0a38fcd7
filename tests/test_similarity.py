import math

import naive_geometry as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse_analysis import cka, kernel_distance, median_bandwidth, mmd2


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def rotation(d, seed=0):
    return torch.linalg.qr(noise(d, d, seed=seed))[0]


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("shape", [(9, 3, 2), (6, 20, 3), (7, 2, 30), (4, 1, 1)])
def test_cka_is_the_definition(shape, unbiased):
    """Narrow features go by d x d products, wide ones by pairs: both are the definition."""
    n, dx, dy = shape
    x = noise(n, dx) + 3
    y = x[:, :1] + noise(n, dy, seed=1)
    a, b = x.numpy(), y.numpy()
    expected = naive.cka(a, b, unbiased)
    for chunk in (None, 1, 3):
        found = cka(x, y, unbiased=unbiased, chunk=chunk)
        assert float(found) == pytest.approx(expected, rel=1e-9)
    widths = (1.5, 2.5)
    expected = naive.cka(a, b, unbiased, "rbf", widths)
    for chunk in (None, 1, 3):
        found = cka(x, y, unbiased=unbiased, kernel="rbf", bandwidth=widths, chunk=chunk)
        assert float(found) == pytest.approx(expected, rel=1e-8)
    expected = naive.cka(a, b, unbiased, "rbf", [naive.median_distance(part) for part in (a, b)])
    assert float(cka(x, y, unbiased=unbiased, kernel="rbf")) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("wide", [3, 60])
def test_cka_sees_neither_rotation_nor_shift_nor_scale(unbiased, kernel, wide):
    x, y = noise(20, wide), noise(20, 5, seed=1)
    y = y + x[:, :1]
    moved = (x @ rotation(wide)) * 1e4 + 7, y @ rotation(5, 1) * 1e-4 - 1e-3
    expected = float(cka(x, y, unbiased=unbiased, kernel=kernel))
    found = float(cka(*moved, unbiased=unbiased, kernel=kernel))
    assert found == pytest.approx(expected, rel=1e-8)
    assert float(cka(y, x, unbiased=unbiased, kernel=kernel)) == pytest.approx(expected, rel=1e-12)
    assert float(cka(x, moved[0], unbiased=unbiased, kernel=kernel)) == pytest.approx(1, abs=1e-10)
    assert abs(expected) < 1


def test_unrelated_features_read_zero_unbiased_and_high_biased():
    """N = 32: the biased form reads near 0.2 where the truth is 0."""
    pairs = [(noise(32, 8, seed=2 * s), noise(32, 8, seed=2 * s + 1)) for s in range(400)]
    for kernel in ("linear", "rbf"):
        found = torch.stack([cka(x, y, kernel=kernel) for x, y in pairs])
        assert abs(float(found.mean())) < 3.5 * float(found.std()) / math.sqrt(len(pairs))
        assert (found < 0).any()
    biased = torch.stack([cka(x, y, unbiased=False) for x, y in pairs]).mean()
    assert 0.18 < float(biased) < 0.23


def test_unbiased_cka_does_not_depend_on_the_number_of_samples():
    """Linear CKA of Gaussian features in the limit: |C_xy|^2 / (|C_xx| |C_yy|)."""
    mix = noise(6, 4, seed=3)
    limit = float(mix.square().sum() / (math.sqrt(6) * (mix.T @ mix).square().sum().sqrt()))
    for n in (16, 4096):
        values = []
        for seed in range(200 if n < 100 else 4):
            x = noise(n, 6, seed=seed)
            values.append(cka(x, x @ mix))
        values = torch.stack(values)
        assert float(values.mean()) == pytest.approx(limit, abs=0.03)


def test_cka_of_nothing_to_compare_is_nan():
    x = noise(8, 3)
    for flat in (torch.full((8, 2), 0.1), torch.zeros(8, 5), torch.eye(8), 1e-9 * torch.eye(8)):
        for kernel in ("linear", "rbf"):
            assert torch.isnan(cka(flat, x, kernel=kernel))
            assert torch.isnan(cka(flat, flat, kernel=kernel))
    # Biased, rows that are all alike but distinct have a structure: that of the identity.
    assert 0 < float(cka(torch.eye(8), x, unbiased=False)) < 1
    assert torch.isnan(cka(torch.ones(8, 1), x, unbiased=False))
    spoilt = x.clone()
    spoilt[3, 1] = math.inf
    assert torch.isnan(cka(spoilt, x)) and torch.isnan(cka(x, spoilt, kernel="rbf"))


@pytest.mark.parametrize("scale", [1e-150, 1e-4, 1e4, 1e150])
def test_extreme_units_change_nothing(scale):
    x, y = noise(30, 4), noise(30, 4, seed=1) + noise(30, 4)
    for kernel in ("linear", "rbf"):
        expected = float(cka(x, y, kernel=kernel))
        assert float(cka(x * scale, y / scale, kernel=kernel)) == pytest.approx(expected, rel=1e-9)
    width = median_bandwidth(x, y)
    scaled = median_bandwidth(x * scale, y * scale)
    assert float(scaled) == pytest.approx(scale * float(width), rel=1e-12)
    expected = float(mmd2(x, y, width))
    assert float(mmd2(x * scale, y * scale, scaled)) == pytest.approx(expected, rel=1e-9)


def test_constant_columns_and_duplicates_change_nothing_they_should_not():
    x, y = noise(30, 4), noise(30, 2, seed=1)
    padded = torch.cat((x, torch.full((30, 3), 123.456)), 1)
    assert float(cka(padded, y)) == pytest.approx(float(cka(x, y)), rel=1e-10)
    twice = cka(x.repeat(2, 1), y.repeat(2, 1), unbiased=False)
    assert float(twice) == pytest.approx(float(cka(x, y, unbiased=False)), rel=1e-10)
    offset = cka(x + 1e6, y - 1e6)
    assert float(offset) == pytest.approx(float(cka(x, y)), rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64])
def test_narrow_dtypes_are_widened(dtype):
    x, y = (4 * noise(20, 3)).to(dtype), (4 * noise(20, 5, seed=1)).to(dtype)
    found = cka(x, y)
    assert found.dtype == torch.float64
    assert float(found) == float(cka(x.double(), y.double()))
    assert float(mmd2(x, y[:, :3], 2.0)) == float(mmd2(x.double(), y[:, :3].double(), 2.0))


def test_numpy_arrays_of_any_layout():
    x, y = noise(20, 6).numpy(), noise(20, 3, seed=1).numpy()
    expected = float(cka(torch.tensor(x[:, ::-2].copy()), torch.tensor(y)))
    found = cka(x[:, ::-2], np.asfortranarray(y).astype(">f8"))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_batches_are_done_one_by_one():
    x, y = noise(3, 10, 4), noise(3, 10, 2, seed=1)
    for options in ({}, {"unbiased": False}, {"kernel": "rbf", "bandwidth": 1.5}):
        found = cka(x, y, **options)
        assert found.shape == (3,)
        assert found.tolist() == [float(cka(a, b, **options)) for a, b in zip(x, y, strict=True)]
    z = noise(3, 7, 4, seed=2)
    alone = [float(mmd2(a, b, 2.0)) for a, b in zip(x, z, strict=True)]
    assert mmd2(x, z, 2.0).tolist() == alone


@pytest.mark.parametrize("chunk", [None, 4])
def test_gradients(chunk):
    x, y = noise(6, 3).requires_grad_(), noise(6, 2, seed=1).requires_grad_()
    z = noise(5, 3, seed=2).requires_grad_()
    gradcheck = torch.autograd.gradcheck
    for unbiased in (True, False):
        assert gradcheck(lambda a, b, u=unbiased: cka(a, b, unbiased=u, chunk=chunk), (x, y))
        assert gradcheck(
            lambda a, b, u=unbiased: cka(
                a, b, unbiased=u, kernel="rbf", bandwidth=(1.0, 2.0), chunk=chunk
            ),
            (x, y),
        )
        assert gradcheck(lambda a, b, u=unbiased: mmd2(a, b, 1.5, unbiased=u, chunk=chunk), (x, z))
    labels = torch.tensor([0, 1, 1, 0, 2, 2])
    far = noise(6, 3, seed=5).requires_grad_()
    assert gradcheck(
        lambda a, b: kernel_distance(a, b, labels, bandwidth=1.0, chunk=chunk).matrix, (x, far)
    )
    assert torch.autograd.gradgradcheck(
        lambda a: cka(a, y.detach(), kernel="rbf", bandwidth=1.5, chunk=chunk), x
    )
    wide = noise(5, 12, seed=3).requires_grad_()
    assert gradcheck(lambda a, b: cka(a, b, chunk=chunk), (wide, noise(5, 12, seed=4)))


def gaussian_mean_kernel(shift, variance, d, bandwidth):
    """E k(a, b) for a - b normal with mean (shift, 0, ...) and covariance `variance` I."""
    spread = bandwidth**2 + variance
    return (bandwidth**2 / spread) ** (d / 2) * math.exp(-(shift**2) / (2 * spread))


@pytest.mark.parametrize("d, shift, sigma, bandwidth", [(1, 1.0, 1.0, 1.0), (5, 0.5, 2.0, 3.0)])
def test_mmd_between_gaussians_has_its_closed_form(d, shift, sigma, bandwidth):
    expected = (
        gaussian_mean_kernel(0, 2, d, bandwidth)
        + gaussian_mean_kernel(0, 2 * sigma**2, d, bandwidth)
        - 2 * gaussian_mean_kernel(shift, 1 + sigma**2, d, bandwidth)
    )
    values = []
    for seed in range(60):
        x, y = noise(150, d, seed=seed), sigma * noise(200, d, seed=1000 + seed)
        y[:, 0] += shift
        values.append(mmd2(x, y, bandwidth))
    values = torch.stack(values)
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 3.5 * error
    assert error < 0.05 * expected


def test_mmd_is_the_definition_and_unbiased_under_the_null():
    x, y = noise(9, 3), noise(7, 3, seed=1) + 0.5
    for unbiased in (True, False):
        expected = naive.mmd2(x.numpy(), y.numpy(), 1.3, unbiased)
        for chunk in (None, 1, 4):
            found = mmd2(x, y, 1.3, unbiased=unbiased, chunk=chunk)
            assert float(found) == pytest.approx(expected, rel=1e-12)
    width = naive.median_distance(x.numpy(), y.numpy())
    assert float(median_bandwidth(x, y)) == pytest.approx(width, rel=1e-13)
    assert float(mmd2(x, y, "median")) == pytest.approx(
        naive.mmd2(x.numpy(), y.numpy(), width, True), rel=1e-12
    )
    values = torch.stack(
        [mmd2(noise(20, 4, seed=s), noise(30, 4, seed=500 + s), 2.0) for s in range(300)]
    )
    assert abs(float(values.mean())) < 3.5 * float(values.std()) / math.sqrt(300)
    assert (values < 0).any()
    assert float(mmd2(x, x, 1.0, unbiased=False)) == pytest.approx(0, abs=1e-15)
    assert float(mmd2(x[:1], x[:1], 1.0, unbiased=False)) == 0


def test_mmd_keeps_its_digits_for_wide_kernels_and_far_from_the_origin():
    """For a wide kernel MMD^2 goes to |mean x - mean y|^2 / bandwidth^2."""
    x, y = noise(40, 3), noise(40, 3, seed=1) + 1
    apart = float((x.mean(0) - y.mean(0)).square().sum())
    found = float(mmd2(x, y, 1e6, unbiased=False))
    assert found == pytest.approx(apart / 1e12, rel=1e-6)
    assert float(mmd2(x + 1e5, y + 1e5, 2.0)) == pytest.approx(float(mmd2(x, y, 2.0)), rel=1e-8)


def test_median_bandwidth_of_copies_and_of_many():
    assert float(median_bandwidth(torch.full((9, 2), 0.3))) == 1
    assert float(median_bandwidth(torch.ones(1))) == 1
    mostly = torch.cat((torch.zeros(50), torch.tensor([3.0])))
    assert float(median_bandwidth(mostly)) == 3  # copies say nothing of scale
    assert torch.isnan(median_bandwidth(torch.tensor([0.0, 1.0, math.nan])))
    many = noise(20000, 4)
    assert float(median_bandwidth(many)) == float(median_bandwidth(many))
    # |a - b|^2 / 2 is chi-squared of 4 degrees: median 3.3567.
    assert float(median_bandwidth(many)) == pytest.approx(math.sqrt(2 * 3.35669), rel=0.03)
    assert not median_bandwidth(noise(5, 2).requires_grad_()).requires_grad


def test_kernel_distance_by_class():
    x, y = noise(12, 3), noise(12, 3, seed=1) + 0.3
    labels = np.array([2, 5, 5, 2, 9, 9, 9, 2, 5, 2, 2, 9])
    found = kernel_distance(x, y, labels, bandwidth=1.7)
    a, b = x.numpy(), y.numpy()

    def expected(keep):
        return pytest.approx(naive.kernel_distance(a, b, 1.7, keep), rel=1e-12)

    assert float(found) == float(found.overall) == expected(lambda i, j: True)
    assert float(found.within) == expected(lambda i, j: labels[i] == labels[j])
    assert float(found.between) == expected(lambda i, j: labels[i] != labels[j])
    assert found.classes.tolist() == [2, 5, 9]
    for p, one in enumerate(found.classes):
        for q, other in enumerate(found.classes):
            value = expected(lambda i, j, one=one, other=other: (
                labels[i] == int(one) and labels[j] == int(other)))  # fmt: skip
            assert float(found.matrix[p, q]) == value
    plain = kernel_distance(x, y[:5], bandwidth=torch.tensor(1.7, dtype=torch.float64))
    assert float(plain) == pytest.approx(naive.kernel_distance(a, b[:5], 1.7), rel=1e-12)
    assert plain.within is None and plain.matrix is None
    small = kernel_distance(x, y, labels, bandwidth=1.7, chunk=5)
    torch.testing.assert_close(small.matrix, found.matrix)
    assert torch.isnan(kernel_distance(x, y, np.zeros(12), bandwidth=1.0).between)


def test_labels_may_be_words():
    x, y = noise(6, 2), noise(6, 2, seed=1)
    codes = torch.tensor([0, 2, 1, 1, 2, 0])
    expected = kernel_distance(x, y, codes, bandwidth=1.0)
    for words in (np.array(["cat", "dog", "owl"])[codes], np.array([*"abc"], object)[codes]):
        found = kernel_distance(x, y, words, bandwidth=1.0)
        assert torch.equal(found.matrix, expected.matrix)
        assert list(found.classes) == sorted(set(words))
        assert f"class/{words[0]}" in found.scalars()


def test_whatever_the_default_device():
    """Above 2000 samples rows are drawn: on the CPU, wherever new tensors go."""
    x = noise(2100, 2)
    expected = median_bandwidth(x)
    with torch.device("meta"):
        assert torch.equal(median_bandwidth(x), expected)
        for kernel in ("linear", "rbf"):
            assert cka(x[:50], x[:50], kernel=kernel).device.type == "cpu"
        assert kernel_distance(x[:9], x[:9], x[:9, 0] > 0, bandwidth=1.0).matrix.shape == (2, 2)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_cka_of_the_largest_numbers(kernel, unbiased):
    x, y = (a / a.abs().amax() for a in (noise(30, 3), noise(30, 3)[:, :2]))
    x[0], x[1] = 1, -1
    expected = float(cka(x, y, kernel=kernel, unbiased=unbiased))
    for scale in (5e307, 1.7e308):
        found = cka(x * scale, y * scale, kernel=kernel, unbiased=unbiased)
        assert float(found) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_orders_what_infobridge_draws():
    """Aligning the modalities of each class lowers the distance, within classes most."""
    labels = torch.arange(90) % 3
    centres = 4 * torch.eye(3, dtype=torch.float64)[labels]
    x = centres + 0.3 * noise(90, 3)
    far, near = (centres + gap + 0.3 * noise(90, 3, seed=1) for gap in (3.0, 0.0))
    width = median_bandwidth(x, far)
    before, after = (kernel_distance(x, y, labels, bandwidth=width) for y in (far, near))
    assert float(after) < float(before)
    assert before.within - after.within > before.between - after.between > 0


@settings(max_examples=30, deadline=None)
@given(n=st.integers(4, 12), dx=st.integers(1, 15), dy=st.integers(1, 15), seed=st.integers(0, 99))
def test_cka_lies_between_its_bounds(n, dx, dy, seed):
    x, y = noise(n, dx, seed=seed), noise(n, dy, seed=seed + 1)
    assert -1e-9 <= float(cka(x, y, unbiased=False)) <= 1 + 1e-9
    value = float(cka(x, y))
    assert -1 - 1e-9 <= value <= 1 + 1e-9
    assert value == pytest.approx(naive.cka(x.numpy(), y.numpy()), rel=1e-6, abs=1e-9)


def test_arguments_that_do_not_fit():
    x, y = noise(8, 3), noise(8, 2)
    for call, match in [
        (lambda: cka(x[:3], y[:3]), "at least 4 samples, found N=3"),
        (lambda: cka(x[:1], y[:1], unbiased=False), "at least 2 samples, found N=1"),
        (lambda: cka(x, y[:7]), "same samples.*N=8 and N=7"),
        (lambda: cka(x, y, kernel="cosine"), "kernel must be one of 'linear', 'rbf'"),
        (lambda: cka(x, y, bandwidth=1.0), "bandwidth must be None for kernel='linear'"),
        (lambda: cka(x, y, kernel="rbf", bandwidth=0.0), "bandwidth must be a number > 0"),
        (lambda: cka(x, y, kernel="rbf", chunk=0), "chunk must be a whole number >= 1"),
        (lambda: cka(x, y, chunk=0), "chunk must be a whole number >= 1"),
        (lambda: cka(x, y, kernel="rbf", bandwidth=(1.0,) * 3), "one width, or a pair for x and y"),
        (lambda: cka(x.to_sparse(), y), "x must be dense"),
        (lambda: mmd2(x, x.to_sparse_csr(), 1.0), "y must be dense"),
        (lambda: cka(x.tolist(), y), "x must be a torch tensor or a NumPy array, found list"),
        (lambda: cka(x.to(torch.complex128), y), "x must be real"),
        (lambda: cka(x[None], y), r"both \(N, d\) or both \(B, N, d\)"),
        (lambda: cka(x[:, :0], y), "x must have shape"),
        (lambda: mmd2(x, y, 1.0), "one space, found d=3 and d=2"),
        (lambda: mmd2(x, x, None), r"found None; median_bandwidth\(x, y\)"),
        (lambda: mmd2(x[:1], x, 1.0), "at least 2 samples"),
        (lambda: mmd2(x, x, True), "bandwidth must be a number > 0"),
        (lambda: kernel_distance(x, x, bandwidth="median"), "bandwidth must be a number > 0"),
        (lambda: kernel_distance(x, x), "found None; median_bandwidth"),
        (lambda: kernel_distance(x, x, torch.zeros(5), bandwidth=1.0), r"labels must .*\(8,\)"),
        (lambda: kernel_distance(x, x, x[:, 0] * math.nan, 1.0), "labels must not be NaN"),
        (lambda: kernel_distance(x, x, np.array(["a"]), 1.0), r"labels must .*\(8,\)"),
        (lambda: kernel_distance(x, x, np.full((8, 2), "a"), 1.0), r"labels must .*\(8, 2\)"),
        (lambda: kernel_distance(x, x, np.array([None] * 8), 1.0), "labels must hold"),
        (lambda: kernel_distance(x[None], x[None], bandwidth=1.0), r"\(N,\) or \(N, d\)"),
        (lambda: median_bandwidth(x[None]), r"\(N,\) or \(N, d\)"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            call()
    assert torch.isnan(mmd2(x, x, torch.tensor(0.0)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda():
    x, y = noise(50, 6), noise(50, 4, seed=1)
    a, b = x.cuda(), y.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [cka(a, b), mmd2(a[:, :4], b, 2.0), cka(a, b, kernel="rbf", bandwidth=2.0)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(value.is_cuda for value in found)
    expected = [cka(x, y), mmd2(x[:, :4], y, 2.0), cka(x, y, kernel="rbf", bandwidth=2.0)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-9, atol=1e-12)
