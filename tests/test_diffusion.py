"""Attention over edges and its polynomials, against dense and slow versions and closed forms."""

import math

import naive_smoothing as naive
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pnpfuse.fusion.diffusion import (
    FORMS,
    MASKS,
    Attention,
    attention,
    coefficients,
    propagate,
    with_self_loops,
)
from pnpfuse.oversmoothing import energy_bounds
from pnpfuse_analysis import dirichlet_energy, knn_graph

STEPS = (0, 1, 3, 5)


def drawn(nodes=12, width=5, k=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x, query, key = torch.randn(3, nodes, width, generator=generator, dtype=dtype)
    return x, query, key, with_self_loops(knn_graph(x, k), nodes)


@pytest.mark.parametrize("mask", MASKS)
def test_attention_is_the_dense_one(mask):
    x, query, key, edges = drawn()
    A = attention(3 * query, key, edges, mask=mask)
    dense = naive.attention(3 * query.numpy(), key.numpy(), edges, mask)
    np.testing.assert_allclose(A.dense(), dense, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(A @ x, dense @ x.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(A.row_sums, 1, rtol=1e-14)
    on_edges = dense[edges[0], edges[1]].sum() / len(x)
    assert A.edge_mass.item() == pytest.approx(on_edges, rel=1e-12)
    if mask == "neighbours":
        assert A.edge_mass.item() == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mask", MASKS)
def test_every_form_is_what_its_words_say(form, mask):
    x, query, key, edges = drawn()
    A = attention(query, key, edges, mask=mask)
    dense = naive.attention(query.numpy(), key.numpy(), edges, mask)
    for steps in STEPS:
        for xi in (0.1, 0.3, 0.9):
            found = propagate(x, A, steps, form=form, xi=xi)
            slow = naive.propagated(x.numpy(), dense, form, steps, xi)
            np.testing.assert_allclose(found, slow, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_closed_forms_on_the_ring(form):
    ring, x, laplacian = naive.ring(48, 5)
    a = (1 + 2 * math.cos(2 * math.pi * 5 / 48)) / 3
    nothing = torch.zeros(48, 1, dtype=torch.float64)
    A = attention(nothing, nothing, with_self_loops(torch.from_numpy(ring), 48))
    for steps in STEPS:
        for xi in (0.1, 0.3, 0.5):
            h = propagate(torch.from_numpy(x), A, steps, form=form, xi=xi)
            energy = float(dirichlet_energy(h, ring))
            expected = naive.ring_factor(form, a, steps, xi) ** 2 * laplacian
            assert energy == pytest.approx(expected, rel=1e-12)


def test_the_printed_mask_on_the_ring():
    """Uniform attention is 1/n; softmax(M / n) has exp(1/n) on three nodes and 1 elsewhere."""
    ring, x, laplacian = naive.ring(48, 5)
    raised, angle = math.exp(1 / 48), 2 * math.pi * 5 / 48
    total = 45 + 3 * raised
    nothing = torch.zeros(48, 1, dtype=torch.float64)
    A = attention(nothing, nothing, with_self_loops(torch.from_numpy(ring), 48), mask="printed")
    assert A.edge_mass.item() == pytest.approx(3 * raised / total, rel=1e-13)
    factor = (raised - 1) * (1 + 2 * math.cos(angle)) / total
    energy = float(dirichlet_energy(A @ torch.from_numpy(x), ring))
    assert energy == pytest.approx(factor**2 * laplacian, rel=1e-10)
    assert energy < 1e-5 * laplacian


@given(xi=st.floats(1e-6, 1 - 1e-6), steps=st.integers(0, 40))
def test_sums_of_coefficients(xi, steps):
    for form, total in {
        "stack": 1.0,
        "truncated": 1 - (1 - xi) ** (steps + 1),
        "residual": 2 - (1 - xi) ** (steps + 1),
        "renormalised": 1.0,
        "iterated": 1.0,
    }.items():
        weights = coefficients(form, steps, xi)
        assert len(weights) == steps + 1 and min(weights) >= 0
        assert sum(weights) == pytest.approx(total, rel=1e-9, abs=1e-12)


@given(xi=st.floats(0.01, 0.99), steps=st.integers(0, 20), a=st.floats(-1, 1))
def test_what_follows_for_symmetric_attention(xi, steps, a):
    """The printed residual never lowers a mode; the two that start at h never raise one."""
    at = {
        form: np.polynomial.polynomial.polyval(a, coefficients(form, steps, xi)) for form in FORMS
    }
    assert at["residual"] >= 1
    assert abs(at["renormalised"]) <= 1 + 1e-12 and abs(at["iterated"]) <= 1 + 1e-12
    assert abs(at["stack"]) <= 1


def test_two_forms_have_one_limit():
    x, query, key, edges = drawn()
    A = attention(query, key, edges)
    limit = torch.linalg.solve(torch.eye(12) - 0.7 * A.dense(), 0.3 * x)
    for form in ("truncated", "renormalised", "iterated"):
        found = propagate(x, A, 150, form=form, xi=0.3)
        torch.testing.assert_close(found, limit, rtol=1e-12, atol=1e-13)


def test_how_far_the_residual_can_fall_behind_its_own_first_term():
    """The .69, .76, .78 of docs/oversmoothing.md: least energy over that at T = 0, (1 + xi)^2."""
    xi, a = np.linspace(5e-4, 1 - 5e-4, 2000)[:, None], np.linspace(-1, 1, 401)
    for steps, least in ((1, 0.686), (3, 0.756), (5, 0.782)):
        factor = naive.ring_factor("residual", a, steps, xi)
        assert ((factor / (1 + xi)) ** 2).min() == pytest.approx(least, abs=5e-4)


def test_bounds_of_symmetric_attention_are_its_eigenvalues():
    ring, _, _ = naive.ring(12, 1)
    a = (1 + 2 * np.cos(2 * np.pi * np.arange(1, 12) / 12)) / 3
    nothing = torch.zeros(12, 1, dtype=torch.float64)
    A = attention(nothing, nothing, with_self_loops(torch.from_numpy(ring), 12))
    for form in FORMS:
        for steps in (1, 2, 5):
            factors = naive.ring_factor(form, a, steps, 0.3) ** 2
            low, high = energy_bounds(A, ring, form=form, steps=steps, xi=0.3)
            assert low == pytest.approx(factors.min(), rel=1e-9, abs=1e-14)
            assert high == pytest.approx(factors.max(), rel=1e-9)


def test_bounds_hold_for_any_features_and_are_reached():
    x, query, key, edges = drawn(k=3)
    A = attention(2 * query, key, edges)
    graph = edges[:, edges[0] != edges[1]]
    low, high = energy_bounds(A, graph, form="residual", steps=3, xi=0.3)
    shapes = torch.randn(2000, 12, generator=torch.Generator().manual_seed(1)).double()
    ratios = [
        float(dirichlet_energy(propagate(s[:, None], A, 3, form="residual"), graph))
        / float(dirichlet_energy(s, graph))
        for s in shapes[:300]
    ]
    assert low <= min(ratios) and max(ratios) <= high
    assert 1 < low < high


def test_what_does_not_follow_for_other_attention():
    """Hand-made counterexamples: the residual lowers an energy, a renormalised sum raises one."""
    nothing = torch.zeros(4, 1).double()
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    hard = Attention(
        path, torch.tensor([1.0, 0, 1, 1], dtype=torch.float64), torch.zeros(3).double()
    )  # 0 attends to 1, 1 to 2, 2 to 1
    low, _ = energy_bounds(hard, path, form="residual", steps=1, xi=0.1)
    assert 0.98 < low < 0.99
    edges = torch.tensor([[0, 0, 3], [1, 3, 2]])
    uniform = attention(nothing, nothing, with_self_loops(edges, 4))
    for form, above in (("renormalised", 1.06), ("iterated", 1.15)):
        _, high = energy_bounds(uniform, edges, form=form, steps=1, xi=0.1)
        assert high > above
    # 1 and 2 of a path of four change places: symmetric, but it does not commute with L.
    path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    swap = torch.tensor([[0, 1, 2, 3], [0, 2, 1, 3]])
    swapped = Attention(swap, torch.ones(4).double(), nothing[:, 0])
    assert 0.98 < energy_bounds(swapped, path, form="residual", steps=1, xi=0.1)[0] < 0.985
    for form, above in (("renormalised", 1.44), ("iterated", 3.0)):
        assert energy_bounds(swapped, path, form=form, steps=1, xi=0.1)[1] > above


@pytest.mark.parametrize("mask", MASKS)
def test_gradients(mask):
    x, query, key, edges = drawn(nodes=5, width=2, k=2)
    inputs = [t.clone().requires_grad_() for t in (x, query, key)]

    def run(x, query, key):
        return propagate(x, attention(query, key, edges, mask=mask), 3, form="residual")

    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_comes_back_as_it_went_in(dtype):
    x, query, key, edges = drawn()
    A = attention(query.to(dtype), key.to(dtype), edges)
    exact = attention(query, key, edges)
    assert A.weight.dtype == torch.float32
    h = propagate(x.to(dtype), A, 3)
    assert h.dtype == dtype
    torch.testing.assert_close(h.double(), propagate(x, exact, 3), rtol=0.05, atol=0.05)


def test_huge_logits_neither_overflow_nor_vanish():
    x, query, key, edges = drawn()
    for mask in MASKS:
        A = attention(1e150 * query, 1e150 * key, edges, mask=mask)
        assert torch.isfinite(A @ x).all()
        torch.testing.assert_close(A.row_sums, torch.ones(12, dtype=torch.float64))


def test_rows_in_blocks(monkeypatch):
    x, query, key, edges = drawn()
    whole = [attention(query, key, edges, mask=mask) @ x for mask in MASKS]
    monkeypatch.setattr("pnpfuse.fusion.diffusion._BLOCK_NUMBERS", 17)
    for mask, expected in zip(MASKS, whole, strict=True):
        torch.testing.assert_close(attention(query, key, edges, mask=mask) @ x, expected)


def test_a_row_without_edges_is_a_row_of_zeros():
    zeros = torch.zeros(3, 1)
    A = attention(zeros, zeros, torch.tensor([[0, 0], [1, 2]]))
    assert A.row_sums.tolist() == [1, 0, 0]
    empty = attention(zeros, zeros, torch.empty(2, 0, dtype=torch.int64))
    assert (empty @ torch.ones(3, 2)).tolist() == [[0, 0]] * 3


def test_self_loops_come_once():
    edges = torch.tensor([[0, 1, 1], [1, 1, 2]])
    assert with_self_loops(edges, 3).T.tolist() == [[0, 1], [1, 2], [0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda q, e, A: attention(q, q[:, :1], e), r"query and key must both be .* \(12, 5\) and"),
        (lambda q, e, A: attention(q, q, e.T), "edges must be int64"),
        (lambda q, e, A: attention(q, q, e.int()), "edges must be int64 .* torch.int32"),
        (lambda q, e, A: attention(q, q, e, mask="hard"), "mask must be one of"),
        (lambda q, e, A: propagate(q, A, 1, form="deep"), "form must be one of"),
        (lambda q, e, A: propagate(q, A, -1), "steps must be an integer"),
        (lambda q, e, A: propagate(q, A, 1, xi=1.0), "xi must lie between 0 and 1"),
        (lambda q, e, A: propagate(q, A, 1, xi=math.nan), "xi must be a finite number"),
        (lambda q, e, A: propagate(q[:3], A, 1), r"x must be \(12, d\); found \(3, 5\)"),
        (lambda q, e, A: energy_bounds(A, e[:, :2], form="stack", steps=1), "must connect"),
    ],
)
def test_errors_by_name(call, message):
    x, query, _, edges = drawn()
    with pytest.raises(ValueError, match=message):
        call(query, edges, attention(query, query, edges))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mask", MASKS)
def test_the_gpu_says_the_same(mask):
    x, query, key, edges = drawn(nodes=300, k=20)
    here = propagate(x, attention(query, key, edges, mask=mask), 5)
    there = attention(query.cuda(), key.cuda(), edges.cuda(), mask=mask)
    assert propagate(x.cuda(), there, 5).is_cuda
    torch.testing.assert_close(propagate(x.cuda(), there, 5).cpu(), here)
