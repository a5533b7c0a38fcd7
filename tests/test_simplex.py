"""Weights on the simplex: the minimum of SCOPE's Eq. (4), and its closed form as printed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_scope import exact_row, objective, printed_row
from scipy.optimize import minimize
from torch.autograd import gradcheck, gradgradcheck

from pnpfuse.fusion.scope.simplex import (
    multiplier,
    normalised_weights,
    printed_weights,
    simplex_weights,
)


def costs(rows=40, k=30, shape=2.0, seed=0, dtype=torch.float64):
    drawn = np.random.default_rng(seed).gamma(shape, size=(rows, k))
    return torch.from_numpy(drawn).to(dtype)


ROWS = st.lists(st.floats(-8, 8), min_size=1, max_size=12).map(
    lambda row: 10 ** torch.tensor(row, dtype=torch.float64)
)


@pytest.mark.parametrize("shape", [0.05, 1, 32])
@pytest.mark.parametrize("k", [2, 5, 30, 61])
def test_against_a_root_finder_row_by_row(k, shape):
    f = costs(20, k, shape).clamp(min=1e-12)
    expected, factor = zip(*(exact_row(row) for row in f.numpy()), strict=True)
    np.testing.assert_allclose(simplex_weights(f), expected, atol=2e-7)
    np.testing.assert_allclose(multiplier(f), factor, rtol=1e-12)
    single = simplex_weights(f.float())
    np.testing.assert_allclose(single, simplex_weights(f), atol=2e-5)


def test_it_is_the_minimum_of_eq_4_and_no_other_point_is():
    """Eq. (4) is convex: SLSQP comes to Eq. (5) from anywhere, and the simplex lies above."""
    random = np.random.default_rng(0)
    for f in costs(4, 6, shape=1.0).numpy():
        g = simplex_weights(torch.from_numpy(f)).numpy()
        found = minimize(
            objective,
            random.dirichlet(np.ones(6)) * 0.9 + 0.1 / 6,
            args=(f,),
            bounds=[(0, 1 - 1e-9)] * 6,
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert found.fun == pytest.approx(objective(g, f), rel=1e-7)
        np.testing.assert_allclose(found.x, g, atol=1e-3)
        others = random.dirichlet(np.ones(6), size=200) * (1 - 1e-9)
        assert min(objective(other, f) for other in others) > objective(g, f)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_sum_to_one_whatever_the_scale(dtype):
    f = costs(500, 30, 0.02, dtype=torch.float64).clamp(min=1e-10).to(dtype)
    assert f.amax() / f.amin() > 1e9
    near = torch.cat([costs(300, 5, 1.0) * 1e-7, 1 + costs(300, 25, 1.0) * 1e-7], 1).to(dtype)
    for row in (f, near, costs(500, 30, 256.0, dtype=dtype)):
        weights = simplex_weights(row)
        assert (weights >= 0).all()
        assert (weights.sum(-1) - 1).abs().max() < 1e-6
        for scale in (2.0**-60, 2.0**-20, 2.0**73):  # 40 decades, without rounding
            assert torch.equal(simplex_weights(row * scale), weights)
            torch.testing.assert_close(multiplier(row * scale), multiplier(row) * scale)


def test_equal_costs_copies_and_single_edges():
    def of(*row):
        return simplex_weights(torch.tensor(row)).tolist()

    assert of(3.0, 3, 3, 3) == [0.25] * 4
    assert of(7.0) == of(0.0) == [1]
    assert of(0.0, 0, 1) == [0.5, 0.5, 0]  # the limit: copies share
    assert of(0.0, 0, 0, 0) == [0.25] * 4
    assert of(0.0, 1, 2) == pytest.approx([1, 0, 0])
    assert of(1e-30, 1e30) == pytest.approx([1, 0])
    assert of(torch.inf, torch.inf) == [0.5, 0.5]
    assert all(np.isnan(of(torch.nan, 1, 2)))  # not silently left out
    f = torch.tensor([[2.0, 2, 2, 2], [0, 1, 2, 3]])
    # Equal costs: lambda is Theorem 1's lower bound; one of 0: twice the next.
    assert multiplier(f).tolist() == pytest.approx([2 * 4 / 15 * 8, 2])
    assert multiplier(f[:, :1]).tolist() == [torch.inf] * 2
    assert simplex_weights(f.bfloat16()).dtype == torch.bfloat16


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 4))
def test_properties(f, random, more):
    weights = simplex_weights(f)
    assert (weights >= 0).all()
    assert abs(weights.sum().item() - 1) < 1e-12
    order = f.argsort()
    assert (weights[order].diff() <= 1e-15).all()  # the nearer the heavier
    shuffled = list(range(len(f)))
    random.shuffle(shuffled)
    torch.testing.assert_close(simplex_weights(f[shuffled]), weights[shuffled])
    # Edges that are not there play no part, whatever they hold.
    valid = torch.tensor([True] * len(f) + [False] * more)
    padded = torch.cat([f, torch.full((more,), torch.nan, dtype=f.dtype)])
    for weigh in (simplex_weights, printed_weights, normalised_weights):
        found = weigh(padded, valid)
        assert not found[len(f) :].any()
        torch.testing.assert_close(found[: len(f)], weigh(f))


def test_theorem_1_as_printed_and_its_bounds():
    f = costs(300, 30)
    printed = printed_weights(f)
    np.testing.assert_allclose(printed, [printed_row(row) for row in f.tolist()], atol=1e-7)
    assert printed.sum(-1).min() > 1.5  # "row-stochastic" holds for equal costs alone
    factor, total, k = multiplier(f), f.sum(-1), 30
    assert (factor < 2 / (k - 1) * total).all()
    assert (factor < 2 * k / (k * k - 1) * total).float().mean() > 0.95  # the "lower bound"
    # With the edges that have weight it is one.
    used = simplex_weights(f) > 0
    a, least = used.sum(-1), (f * used).sum(-1)
    assert (2 * a / (a * a - 1) * least <= factor * (1 + 1e-12)).all()
    assert (factor < 2 / (a - 1) * least).all()
    torch.testing.assert_close(normalised_weights(f), printed / printed.sum(-1, keepdim=True))
    equal = torch.tensor([[5.0, 5, 5], [0, 0, 0]])
    torch.testing.assert_close(printed_weights(equal), torch.full((2, 3), 1 / 3))
    assert printed_weights(torch.tensor([[4.0]])).tolist() == [[1]]


def test_theorem_1_s_lower_bound_by_hand():
    """Costs 1, 1, x: lambda is 8/3 for every x above 4/3, the "lower bound" 3/4 (2 + x)."""
    for x in (1.5, 10, 1e6):
        f = torch.tensor([1.0, 1, x], dtype=torch.float64)
        assert simplex_weights(f).tolist() == pytest.approx([0.5, 0.5, 0])
        assert multiplier(f).item() == pytest.approx(8 / 3)
    assert 8 / 3 < 3 / 4 * (2 + 10)
    assert printed_weights(f).tolist() == pytest.approx([1, 1, 0], abs=1e-5)  # of sum 2


def test_gradients_against_differences():
    f = costs(3, 7, seed=2).requires_grad_()
    valid = torch.tensor([True] * 5 + [False, True])
    for solved in (simplex_weights, multiplier):
        assert gradcheck(lambda x, s=solved: s(x, valid), f)
        assert gradgradcheck(lambda x, s=solved: s(x, valid), f)
    assert gradcheck(printed_weights, f)
    # Where a single weight comes and goes the slope from within stays bounded, and is right.
    edge = exact_edge(torch.tensor([1.0, 1.3], dtype=torch.float64))
    row = torch.cat([edge[:2], edge[2:] * (1 - 1e-5)]).requires_grad_()
    assert 0 < simplex_weights(row)[2] < 1e-3
    gradient, *_ = torch.autograd.grad(simplex_weights(row)[0], row)
    step = torch.eye(3, dtype=torch.float64) * 1e-7
    with torch.no_grad():
        slope = (simplex_weights(row + step) - simplex_weights(row - step))[:, 0] / 2e-7
    torch.testing.assert_close(gradient, slope, rtol=0, atol=5e-3 * slope.abs().max().item())
    assert abs((gradient * row).sum().item()) < 1e-12  # of a function of ratios


def exact_edge(near):
    """Costs with a further one at which the weight of an edge begins."""
    low, high = near.max(), 100 * near.max()
    for _ in range(100):
        middle = (low + high) / 2
        fits = (1 - near / middle).clamp(min=0).sqrt().sum() < 1
        low, high = (middle, high) if fits else (low, middle)
    return torch.cat([near, low[None]])


@pytest.mark.parametrize("weigh", [simplex_weights, printed_weights, normalised_weights])
def test_gradients_are_finite_whatever_the_costs(weigh):
    random = np.random.default_rng(0)
    kinds = [
        random.gamma(2, size=(50, 8)),
        10 ** random.uniform(-30, 30, size=(50, 8)),
        random.integers(0, 3, size=(50, 8)),
        np.zeros((2, 8)),
        np.repeat(exact_edge(torch.tensor([1.0, 2.0])).numpy(), [1, 1, 6])[None],
    ]
    for f in kinds:
        for dtype in (torch.float32, torch.float64):
            x = torch.from_numpy(np.asarray(f, float)).to(dtype).requires_grad_()
            towards = torch.from_numpy(random.normal(size=x.shape)).to(dtype)
            (weigh(x) * towards).sum().backward()
            assert x.grad.isfinite().all()


def test_sample_by_sample_under_vmap():
    f = costs(4, 6, dtype=torch.float32)

    def first(row):
        return simplex_weights(row)[0]

    each = torch.func.vmap(torch.func.grad(first))(f)
    x = f.clone().requires_grad_()
    simplex_weights(x)[:, 0].sum().backward()
    torch.testing.assert_close(each, x.grad)
