import math

import naive_geometry as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, ive

from pnpfuse_analysis import alignment, effective_rank, modality_gap, uniformity


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def with_spectrum(n, d, singular, seed=0):
    """A matrix (n, d) with these singular values."""
    u = torch.linalg.qr(noise(n, len(singular), seed=seed))[0]
    v = torch.linalg.qr(noise(d, len(singular), seed=seed + 1))[0]
    return u @ torch.diag(torch.as_tensor(singular, dtype=torch.float64)) @ v.T


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (8, 8)])
def test_equal_singular_values_count_themselves(shape, rank):
    x = with_spectrum(*shape, [2.5] * rank)
    assert float(effective_rank(x)) == pytest.approx(rank, abs=1e-11)
    assert float(effective_rank(1e-200 * x)) == pytest.approx(rank, abs=1e-11)
    assert float(effective_rank(1e200 * x)) == pytest.approx(rank, abs=1e-11)


def test_geometric_spectrum_has_its_closed_form():
    """Shares p_k = (1 - q) q^k of an endless spectrum: entropy H(q) / (1 - q), nats."""
    q = 0.5
    x = with_spectrum(100, 60, [q**k for k in range(60)])
    expected = math.exp((-q * math.log(q) - (1 - q) * math.log(1 - q)) / (1 - q))
    assert expected == pytest.approx(4, rel=1e-15)
    assert float(effective_rank(x)) == pytest.approx(expected, rel=1e-10)


def test_centring_looks_past_a_common_offset():
    x = noise(400, 5)
    assert float(effective_rank(x + 1e3)) < 1.1
    own = float(effective_rank(x, centre=True))
    assert own == pytest.approx(naive.effective_rank(x.numpy() - x.numpy().mean(0)), rel=1e-12)
    assert float(effective_rank(x + 1e3, centre=True)) == pytest.approx(own, rel=1e-10)
    constant = torch.full((400, 3), 0.1)
    assert float(effective_rank(torch.cat((x, constant), 1), centre=True)) == pytest.approx(own)


def test_effective_rank_of_nothing_and_of_the_unknown():
    assert float(effective_rank(torch.zeros(4, 3))) == 0
    assert float(effective_rank(torch.full((7, 3), 0.1), centre=True)) == 0
    assert float(effective_rank(noise(1, 5), centre=True)) == 0
    assert float(effective_rank(noise(1, 5))) == pytest.approx(1, rel=1e-15)
    assert float(effective_rank(noise(9))) == pytest.approx(1, rel=1e-15)
    for wrong in (math.nan, math.inf):
        x = noise(2, 6, 3)
        x[0, 2, 1] = wrong
        found = effective_rank(x)
        assert torch.isnan(found[0]) and float(found[1]) == float(effective_rank(x[1]))
    tail = effective_rank(torch.diag(torch.tensor([1.0, 1e-300], dtype=torch.float64)))
    assert float(tail) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 12), d=st.integers(1, 12), seed=st.integers(0, 99))
def test_effective_rank_is_the_definition(n, d, seed):
    x = noise(n, d, seed=seed)
    found = float(effective_rank(x))
    assert found == pytest.approx(naive.effective_rank(x.numpy()), rel=1e-10)
    assert 1 - 1e-12 <= found <= min(n, d) + 1e-12
    assert float(effective_rank(x.T)) == pytest.approx(found, rel=1e-10)


@pytest.mark.parametrize("scale", [1e-300, 5e307, 1.7e308])
def test_the_largest_numbers_have_a_shape_too(scale):
    """Differences and sums over samples would overflow; they are taken of smaller numbers."""
    x, y = (a / a.abs().amax() for a in (noise(50, 4), noise(50, 4, seed=1)))
    x[0], x[1] = 1, -1
    for function in (
        lambda x, y: effective_rank(x, centre=True),
        lambda x, y: effective_rank(x),
        alignment,
        modality_gap,
        lambda x, y: uniformity(x),
    ):
        expected = float(function(x, y))
        assert float(function(x * scale, y * scale)) == pytest.approx(expected, rel=1e-12)
    slope = (x * scale).requires_grad_()
    effective_rank(slope, centre=True).backward()
    assert torch.isfinite(slope.grad).all()


def test_sparse_features_are_refused():
    x = noise(6, 3)
    for sparse in (x.to_sparse(), x.to_sparse_csr()):
        for function in (effective_rank, uniformity, lambda s: modality_gap(x, s)):
            with pytest.raises(ValueError, match="must be dense, found torch.sparse"):
                function(sparse)


def test_alignment_is_the_definition():
    x, y = 1e4 * noise(20, 3), 1e-4 * noise(20, 3, seed=1)
    for alpha in (0.5, 1, 2, 3.0):
        expected = naive.alignment(x.numpy(), y.numpy(), alpha)
        assert float(alignment(x, y, alpha)) == pytest.approx(expected, rel=1e-12)
    assert float(alignment(x, 7 * x)) == pytest.approx(0, abs=1e-30)
    assert float(alignment(x, -x)) == pytest.approx(4, rel=1e-15)
    assert float(alignment(x, -x, 3)) == pytest.approx(8, rel=1e-15)
    # Independent directions are at right angles on average: |u - v|^2 = 2.
    many = alignment(noise(20000, 8), noise(20000, 8, seed=1))
    assert float(many) == pytest.approx(2, abs=0.02)


def test_uniformity_at_known_places():
    corners = torch.tensor([[3.0, 0], [0, 2.0], [-1.0, 0], [0, -5.0]])
    for t in (0.5, 2, 7):
        expected = math.log((4 * math.exp(-2 * t) + 2 * math.exp(-4 * t)) / 6)
        assert float(uniformity(corners, t)) == pytest.approx(expected, rel=1e-14)
    assert float(uniformity(torch.ones(5, 3))) == pytest.approx(0, abs=1e-14)
    poles = torch.tensor([[1e-30, 0.0], [-1e30, 0.0]], dtype=torch.float64)
    assert float(uniformity(poles)) == -8
    # Too narrow a kernel for exp: the logarithm is there all the same.
    assert float(uniformity(poles, 1e4)) == -4e4


def test_uniformity_by_tiles_is_the_definition():
    x = noise(23, 4)
    expected = naive.uniformity(x.numpy(), 2)
    for chunk in (None, 1, 2, 5, 22, 100):
        assert float(uniformity(x, chunk=chunk)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("d", [2, 3, 16, 64])
def test_uniformity_of_the_uniform_distribution(d):
    """E exp(k u.e) = Gamma(v + 1) (2/k)^v I_v(k), v = d/2 - 1, over the unit sphere; k = 2t."""
    t, v = 2.0, d / 2 - 1
    k = 2 * t
    expected = gammaln(v + 1) + v * math.log(2 / k) + math.log(ive(v, k))  # ive = I_v(k) exp(-k)
    found = float(uniformity(noise(4000, d), t))
    assert found == pytest.approx(expected, abs=0.01)


def test_modality_gap_of_shifted_clusters():
    x, y = noise(2000, 6), noise(3000, 6, seed=1)
    assert float(modality_gap(x, x)) == 0
    chance = math.sqrt(1 / 2000 + 1 / 3000)
    assert 0.3 * chance < float(modality_gap(x, y)) < 2 * chance
    apart = torch.zeros(6, dtype=torch.float64)
    apart[0] = 50
    assert float(modality_gap(x + apart, y - apart)) == pytest.approx(2, abs=0.01)
    expected = naive.modality_gap(x[:30].numpy(), y[:20].numpy() + 1)
    assert float(modality_gap(x[:30], y[:20] + 1)) == pytest.approx(expected, rel=1e-12)


def test_rows_without_direction_are_nan():
    x = noise(6, 3)
    for value in (0.0, math.nan, math.inf):
        bad = x.clone()
        bad[2] = value
        for found in (alignment(bad, x), alignment(x, bad), uniformity(bad), modality_gap(x, bad)):
            assert torch.isnan(found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int32])
def test_narrow_dtypes_are_widened(dtype):
    x, y = (4 * noise(20, 3) + 9).to(dtype), (4 * noise(20, 3, seed=1) + 9).to(dtype)
    wide = x.double(), y.double()
    for call in (
        lambda a, b: effective_rank(a),
        alignment,
        lambda a, b: uniformity(a),
        modality_gap,
    ):
        found = call(x, y)
        assert found.dtype == torch.float64 and found.shape == ()
        assert float(found) == float(call(*wide))
        arrays = (part.numpy()[::-1] for part in wide)
        assert float(call(*arrays)) == pytest.approx(float(found), rel=1e-12)


def test_batches_are_done_one_by_one():
    x, y = noise(3, 10, 4), noise(3, 10, 4, seed=1)
    for call in (
        lambda a, b: effective_rank(a),
        lambda a, b: effective_rank(a, centre=True),
        alignment,
        lambda a, b: uniformity(a),
        modality_gap,
    ):
        found = call(x, y)
        assert found.shape == (3,)
        expected = [float(call(a, b)) for a, b in zip(x, y, strict=True)]
        assert found.tolist() == pytest.approx(expected, rel=1e-13)


def test_gradients():
    x, y = noise(6, 3).requires_grad_(), noise(6, 3, seed=1).requires_grad_()
    gradcheck = torch.autograd.gradcheck
    assert gradcheck(effective_rank, x)
    assert gradcheck(lambda a: effective_rank(a, centre=True), noise(3, 7).requires_grad_())
    for alpha in (1, 2, 2.5):
        assert gradcheck(lambda a, b, p=alpha: alignment(a, b, p), (x, y))
    for chunk in (None, 4):
        assert gradcheck(lambda a, c=chunk: uniformity(a, chunk=c), x)
        assert torch.autograd.gradgradcheck(lambda a, c=chunk: uniformity(a, chunk=c), x)
    assert gradcheck(modality_gap, (x, y))


def test_gradients_are_finite_where_slopes_are_not():
    x = noise(6, 3).requires_grad_()
    flat = with_spectrum(6, 3, [1.0]).requires_grad_()
    for value in (
        alignment(x, x.detach(), 1),
        modality_gap(x, x.detach()),
        uniformity(x.detach().repeat(2, 1).requires_grad_() + 0 * x.repeat(2, 1)),
        effective_rank(flat) + 0 * x.sum(),
        effective_rank(0 * x),
    ):
        assert torch.isfinite(torch.autograd.grad(value, x)[0]).all()


def test_arguments_that_do_not_fit():
    x = noise(5, 3)
    for call, match in [
        (lambda: effective_rank(x[None, None]), r"x must have shape \(N,\), \(N, d\)"),
        (lambda: effective_rank(x[:0]), "found \\(0, 3\\)"),
        (lambda: effective_rank([[1.0]]), "found list"),
        (lambda: effective_rank(x * 1j), "x must be real"),
        (lambda: alignment(x, x[:4]), "same samples.*N=5 and N=4"),
        (lambda: alignment(x, x[:, :2]), "one space, found d=3 and d=2"),
        (lambda: alignment(x, x, 0), "alpha must be a number > 0, found 0"),
        (lambda: uniformity(x[:1]), "x must hold at least 2 samples, found N=1"),
        (lambda: uniformity(x, -2), "t must be a number > 0, found -2"),
        (lambda: uniformity(x, chunk=0), "chunk must be a whole number >= 1"),
        (lambda: modality_gap(x, np.ones((4, 2))), "one space, found d=3 and d=2"),
    ]:
        with pytest.raises(ValueError, match=match):
            call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda():
    x, y = noise(600, 6), noise(600, 6, seed=1)
    calls = (alignment, lambda a, b: uniformity(a), modality_gap)
    a, b = x.cuda().requires_grad_(), y.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [call(a, b) for call in calls]
        torch.stack(found).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found.append(effective_rank(a))
    expected = [call(x, y) for call in calls] + [effective_rank(x)]
    for one, other in zip(found, expected, strict=True):
        assert one.is_cuda
        torch.testing.assert_close(one.detach().cpu(), other, rtol=1e-9, atol=1e-12)
