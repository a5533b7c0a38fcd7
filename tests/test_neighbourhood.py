"""Balanced fusion over neighbours against explicit matrices, and the sparse products below it."""

import itertools

import naive_scope_diffusion as naive
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_map_only

from pnpfuse.fusion import sparsity
from pnpfuse.fusion.diffusion import MASKS
from pnpfuse.fusion.scope.balanced import FORMS, BalancedFusion
from pnpfuse.fusion.scope.neighbourhood import union
from pnpfuse.fusion.scope.semantic import Neighbours, semantic_graph
from pnpfuse.fusion.sparsity import by_row, inner_products, powers

DOUBLE = {"rtol": 1e-12, "atol": 1e-13}


def drawn(batch=9, reference=0, width=4, k=3, views=3, seed=0, dtype=torch.float64):
    """h, graphs, reference rows and their graphs; some rows lack a modality, row 2 has none."""
    random = torch.Generator().manual_seed(seed)

    def rows(count):
        return torch.randn(count, width, generator=random, dtype=dtype)

    def here(count):
        masks = [torch.rand(count, generator=random) < 0.7 for _ in range(views)]
        for mask in masks:
            mask[2] = False
        return masks

    h, own = rows(batch), here(batch)
    if not reference:
        graphs = [semantic_graph(rows(batch), k, present=m) for m in own]
        return h, graphs, None, None
    there, among = [rows(reference) for _ in range(views)], here(reference)
    graphs = [
        semantic_graph(rows(batch), k, candidates=x, present=m, among=a)
        for x, m, a in zip(there, own, among, strict=True)
    ]
    inner = [semantic_graph(x, k, present=a) for x, a in zip(there, among, strict=True)]
    return h, graphs, rows(reference), inner


def fusion_for(width=4, seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    return BalancedFusion(width, **options).to(dtype)


def dense_form(module, h, graphs, reference, inner):
    """A and A~ as explicit matrices."""
    nodes = h if reference is None else torch.cat([h, reference])
    M, seen = naive.blocks(graphs, inner, len(h), len(nodes) - len(h))
    A = naive.attention(module.query(nodes), module.key(nodes), M, seen, module.mask)
    return nodes, A, naive.diffusion(A, module.form, module.steps, module.xi)


@pytest.mark.parametrize("reference", [0, 7])
@pytest.mark.parametrize("mask", MASKS)
def test_it_is_the_dense_form(mask, reference):
    given = drawn(reference=reference)
    for form, steps in itertools.product(FORMS, (0, 1, 3)):
        module = fusion_for(form=form, steps=steps, mask=mask)
        nodes, A, diffused = dense_form(module, *given)
        found = module.attention(nodes, given[1], given[3], reference or None)
        torch.testing.assert_close(found.dense(), A, **DOUBLE)
        expected = given[0] + (diffused @ nodes)[: len(given[0])]
        torch.testing.assert_close(module(*given), expected, **DOUBLE)
        module.residual = False
        torch.testing.assert_close(module(*given), expected - given[0], **DOUBLE)


@pytest.mark.parametrize("reference", [0, 40])
def test_it_is_the_dense_form_in_single_precision(reference):
    given = drawn(50, reference, 16, k=10, dtype=torch.float32)
    module = fusion_for(16, dtype=torch.float32)
    nodes, _, diffused = dense_form(module, *given)
    expected = given[0] + (diffused @ nodes)[: len(given[0])]
    torch.testing.assert_close(module(*given), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("reference", [0, 7])
def test_diffusion_is_row_stochastic(reference):
    """A~ read off the module itself: what it makes of the identity."""
    h, graphs, _, inner = drawn(reference=reference)
    nodes = len(h) + reference
    module = fusion_for(nodes, residual=False, xi=0.2, steps=4)
    whole = torch.eye(nodes, dtype=torch.float64)
    given = (whole, graphs) if not reference else (whole[:9], graphs, whole[9:], inner)
    diffused = module(*given)  # (batch, N)
    assert diffused.min() >= 0
    torch.testing.assert_close(diffused.sum(1), torch.ones(9).double(), **DOUBLE)
    module.form = "truncated"  # as printed
    torch.testing.assert_close(module(*given).sum(1), torch.full((9,), 1 - 0.8**5).double())


@pytest.mark.parametrize("reference", [0, 7])
def test_gradients_are_those_of_the_dense_form(reference):
    h, graphs, others, inner = drawn(reference=reference)
    module = fusion_for()
    leaves = [x.requires_grad_() for x in (h, others) if x is not None]
    leaves += list(module.parameters())
    nodes, _, diffused = dense_form(module, h, graphs, others, inner)
    weight = torch.randn(9, 4, generator=torch.Generator().manual_seed(1)).double()
    dense = torch.autograd.grad(((h + (diffused @ nodes)[:9]) * weight).sum(), leaves)
    found = torch.autograd.grad((module(h, graphs, others, inner) * weight).sum(), leaves)
    torch.testing.assert_close(found, dense, rtol=1e-10, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), views=st.integers(1, 4), k=st.integers(1, 6))
def test_union_has_each_edge_once_and_every_loop(seed, views, k):
    random = torch.Generator().manual_seed(seed)
    graphs = []
    for _ in range(views):
        index = torch.stack([torch.randperm(6, generator=random)[:k] for _ in range(6)])
        valid = torch.rand(6, k, generator=random) < 0.6
        graphs.append(Neighbours(index, torch.ones(6, k), valid))
    found = union(graphs)
    rows, columns = found.sparsity.rows.view(6, -1), found.sparsity.columns.view(6, -1)
    pairs = torch.stack([rows[found.valid], columns[found.valid]], 1).tolist()
    assert len({tuple(pair) for pair in pairs}) == len(pairs)
    expected = naive.linked(graphs, 6, 6) | torch.eye(6, dtype=torch.bool)
    assert sorted(pairs) == expected.nonzero().tolist()
    assert found.valid[:, 0].all() and (columns[:, 0] == torch.arange(6)).all()


def test_a_row_without_neighbours_keeps_to_itself():
    for reference in (0, 7):
        h, graphs, others, inner = drawn(reference=reference)  # row 2
        module = fusion_for()
        torch.testing.assert_close(module(h, graphs, others, inner)[2], 2 * h[2], **DOUBLE)
    h, graphs, others, _ = drawn(reference=7)
    A = fusion_for().attention(torch.cat([h, others]), graphs, None, 7)
    assert torch.equal(A.dense()[9:, 9:], torch.eye(7).double())


@pytest.mark.parametrize("mask", MASKS)
def test_beside_a_reference_no_row_depends_on_another(mask):
    h, graphs, others, inner = drawn(reference=7)
    module = fusion_for(mask=mask)
    whole = module(h, graphs, others, inner)
    for rows in ([4], [1, 6, 8]):
        own = [Neighbours(*(field[rows] for field in graph)) for graph in graphs]
        torch.testing.assert_close(module(h[rows], own, others, inner), whole[rows], **DOUBLE)


def test_the_printed_mask_leaves_half_of_the_mass_on_others():
    """Half of the batch as neighbours: the literal formula hardly tells them from the rest."""
    h, graphs, _, _ = drawn(60, width=16, k=29, views=1, seed=3)
    graphs = [graph._replace(valid=torch.ones_like(graph.valid)) for graph in graphs]
    given = h, [graph._replace(index=(graph.index + 1) % 60) for graph in graphs]
    assert fusion_for(16).attention(*given).edge_mass.item() == pytest.approx(1, abs=1e-14)
    mass = fusion_for(16, mask="printed").attention(*given).edge_mass.item()
    assert 0.45 < mass < 0.55


def test_what_is_kept_grows_with_edges_and_with_features_alone():
    """Never a row of d numbers an edge: N = 60, K = 31, d = 512."""
    h, graphs, _, _ = drawn(60, width=512, k=10, dtype=torch.float32)
    module, kept = fusion_for(512, dtype=torch.float32), {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = module(h.requires_grad_(), graphs)
    assert out.requires_grad
    weights = sum(p.untyped_storage().nbytes() for p in module.parameters())
    nodes, width, places, steps = 60, 512, 31, 3
    assert sum(kept.values()) - weights < 4 * (steps + 5) * nodes * width + 60 * nodes * places


@pytest.mark.parametrize("mask", MASKS)
def test_nothing_is_read_back_from_the_device(mask):
    """Tensors of the device "meta" have no values: whoever asks for one fails."""
    given = tree_map_only(torch.Tensor, lambda x: x.to("meta"), drawn(reference=7))
    out = fusion_for(mask=mask).to("meta")(given[0].requires_grad_(), *given[1:])
    out.sum().backward()
    assert out.shape == given[0].grad.shape


@pytest.mark.parametrize("pairs", [0, 10**6])
def test_sparse_products_and_their_derivatives(pairs, monkeypatch):
    monkeypatch.setattr(sparsity, "_PAIRS", pairs)
    random = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 3, 0, 2, 2, 0], [1, 1, 3, 2, 1, 1]])  # 0 to 1 comes twice, 1 not
    where, entry = by_row(*edges, 4)
    assert torch.equal(edges[:, entry], torch.stack([where.rows, where.columns]))
    draw = {"generator": random, "dtype": torch.float64, "requires_grad": True}
    weight, a, b = torch.randn(6, **draw), torch.randn(4, 2, **draw), torch.randn(4, 2, **draw)
    W = torch.zeros(4, 4).double().index_put((where.rows, where.columns), weight, True)
    for found, power in zip(powers(weight, a, where, 3), (1, 2, 3), strict=True):
        torch.testing.assert_close(found, torch.linalg.matrix_power(W, power) @ a, **DOUBLE)
    products = inner_products(a, b, where)
    torch.testing.assert_close(products, (a @ b.T)[where.rows, where.columns], **DOUBLE)

    def both(weight, a, b):
        return *powers(weight, a, where, 2), inner_products(a, b, where)

    assert torch.autograd.gradcheck(both, (weight, a, b))
    assert torch.autograd.gradgradcheck(both, (weight, a, b))


def test_what_a_compiler_sees_is_the_same(monkeypatch):
    given, module = drawn(reference=7), fusion_for()
    expected = module(*given)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(module(*given), expected, **DOUBLE)


def test_low_precision_and_autocast_are_widened_within():
    given, module = drawn(dtype=torch.float32), fusion_for(dtype=torch.float32)
    exact = module(*given)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(given[0].requires_grad_(), *given[1:])
    assert found.dtype == torch.float32
    found.sum().backward()
    assert module.query.weight.grad.isfinite().all()
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0.02)
    half = module.bfloat16()(given[0].bfloat16(), *given[1:])
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"form": "stack"}, "form must be one of"),
        ({"mask": "hard"}, "mask must be one of"),
        ({"steps": -1}, "steps must be an integer"),
        ({"xi": 1.0}, "xi must lie between 0 and 1"),
    ],
)
def test_errors_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        BalancedFusion(4, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_says_the_same_and_never_waits():
    given = drawn(50, 40, 16, k=10)
    module = fusion_for(16)
    expected = module(*given)
    there = tree_map_only(torch.Tensor, lambda x: x.cuda(), given)
    module.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = module(there[0].requires_grad_(), *there[1:])
        found.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.cpu(), expected)
