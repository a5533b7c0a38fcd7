"""The Hadamard transform against SciPy's matrix, its subsampled form against dense matrices."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard as sylvester

from pnpfuse.fusion.srht import SRHT, hadamard


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(inputs, outputs, seed=0):
    torch.manual_seed(seed)
    return SRHT(inputs, outputs)


def dense(module):
    """sqrt(p/k) R [H D_1; ...; H D_r] written out, (outputs, inputs)."""
    p, k = module.padded, module.out_features
    signs, rows = module.signs.double().numpy(), module.rows.numpy()
    stacked = np.concatenate([sylvester(p) / np.sqrt(p) @ np.diag(row) for row in signs])
    return np.sqrt(p / k) * stacked[rows][:, : module.in_features]


@pytest.mark.parametrize("width", [1, 2, 4, 32, 64, 128, 256, 512, 1024, 2048])
def test_hadamard_is_scipys_matrix(width):
    x = normal(2, 3, width)
    expected = x.numpy() @ sylvester(width) / np.sqrt(width)
    np.testing.assert_allclose(hadamard(x), expected, atol=1e-11)
    torch.testing.assert_close(hadamard(hadamard(x)), x)  # its own inverse
    torch.testing.assert_close(hadamard(x[0, 0]), hadamard(x)[0, 0])


@pytest.mark.parametrize("shape", [(3,), (4, 6), (2, 0), (), (5, 48)])
def test_only_powers_of_two(shape):
    with pytest.raises(ValueError, match="power of two"):
        hadamard(torch.zeros(shape))


def test_only_floating_point():
    for wrong in (torch.ones(4, dtype=torch.int64), np.ones(4)):
        with pytest.raises(ValueError, match="floating-point"):
            hadamard(wrong)


@pytest.mark.parametrize("width", [8, 128])
def test_gradient_is_the_transform_itself(width):
    x, g = normal(3, width).requires_grad_(), normal(3, width, seed=1)
    hadamard(x).backward(g)
    torch.testing.assert_close(x.grad, hadamard(g))
    assert torch.autograd.gradcheck(hadamard, (normal(2, width).requires_grad_(),))
    small = normal(2, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: hadamard(x).square(), (small,))


def test_vmap_agrees_with_the_batch():
    x, module = normal(5, 3, 128), seeded(100, 300)
    torch.testing.assert_close(torch.vmap(hadamard)(x), hadamard(x))
    torch.testing.assert_close(torch.vmap(module)(x[..., :100]), module(x[..., :100]))
    y = module(x[..., :100])
    torch.testing.assert_close(torch.vmap(module.adjoint)(y), module.adjoint(y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype):
    x, module = normal(4, 2048).to(dtype), seeded(2048, 1000)
    assert torch.equal(hadamard(x), hadamard(x.float()).to(dtype))
    assert torch.equal(module(x), module(x.float()).to(dtype))
    assert torch.equal(module.adjoint(x[:, :1000]), module.adjoint(x[:, :1000].float()).to(dtype))


def test_autocast_changes_nothing():
    x, module = normal(4, 256, dtype=torch.float32), seeded(256, 700)
    plain = hadamard(x), module(x), module.adjoint(module(x))
    with torch.autocast("cpu", torch.bfloat16):
        inside = hadamard(x), module(x), module.adjoint(module(x))
    for outside, within in zip(plain, inside, strict=True):
        assert within.dtype == torch.float32
        assert torch.equal(outside, within)


@settings(max_examples=60)
@given(inputs=st.integers(1, 150), outputs=st.integers(1, 400), seed=st.integers(0, 99))
def test_any_widths_are_the_dense_matrix_and_its_transpose(inputs, outputs, seed):
    module = seeded(inputs, outputs, seed)
    S, x, y = torch.from_numpy(dense(module)), normal(3, inputs), normal(3, outputs)
    assert S.shape == (outputs, inputs)
    torch.testing.assert_close(module(x), x @ S.T)
    torch.testing.assert_close(module.adjoint(y), y @ S)
    assert len(module.rows.unique()) == outputs  # without replacement
    assert set(module.signs.unique().tolist()) <= {-1, 1}


@pytest.mark.parametrize("width", [1, 2, 64, 128, 512])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_exact_isometry_where_the_width_is_a_power_of_two(width, n):
    module, x = seeded(width, n * width), normal(5, width)
    torch.testing.assert_close(module.adjoint(module(x)), x)
    torch.testing.assert_close(module(x).square().sum(-1), x.square().sum(-1))
    # Either side of a boundary that does not cut a repeat keeps all of x, in proportion.
    for boundary in range(width, n * width, width):
        part = module(x)[:, :boundary].square().sum(-1)
        torch.testing.assert_close(part, x.square().sum(-1) * boundary / (n * width))


@pytest.mark.parametrize(("inputs", "outputs"), [(300, 1200), (600, 300), (96, 64), (100, 7)])
def test_isometry_on_average_over_the_draw(inputs, outputs):
    x = normal(inputs)
    torch.manual_seed(0)
    squares = torch.stack([SRHT(inputs, outputs)(x).square().sum() for _ in range(400)])
    ratio = squares / x.square().sum()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / 400**0.5
    assert ratio.std() < 1.1 * (2 / outputs) ** 0.5  # no wider than a Gaussian projection


def test_draw_follows_torchs_seed_and_travels_with_the_state():
    first, same, other = seeded(48, 96), seeded(48, 96), seeded(48, 96, seed=1)
    x = normal(2, 48)
    assert torch.equal(first(x), same(x))
    assert not torch.equal(first(x), other(x))
    assert list(first.parameters()) == []
    assert set(first.state_dict()) == {"signs", "rows"}
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(x), other(x))
    assert torch.equal(copy.deepcopy(first).bfloat16()(x), first(x))  # nothing was rounded


def test_gradient_of_the_module_is_its_adjoint():
    module, x, g = seeded(100, 230), normal(3, 100).requires_grad_(), normal(3, 230)
    module(x).backward(g)
    torch.testing.assert_close(x.grad, module.adjoint(g))
    assert torch.autograd.gradcheck(seeded(5, 11), (normal(2, 5).requires_grad_(),))


@pytest.mark.parametrize("widths", [(0, 4), (4, 0), (2.5, 4), (4, True), ("4", 4)])
def test_bad_widths(widths):
    with pytest.raises(ValueError, match="inputs|outputs"):
        SRHT(*widths)


def test_compiles_in_one_graph():
    module, x = seeded(100, 300), normal(4, 100, dtype=torch.float32).requires_grad_()
    compiled = torch.compile(
        lambda x: module.adjoint(module(x)), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(x), module.adjoint(module(x)))
    (gradient,) = torch.autograd.grad(compiled(x).sum(), x)
    torch.testing.assert_close(gradient, module.adjoint(module(torch.ones_like(x))))
