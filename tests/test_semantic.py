"""Semantic graphs and their alignment (SCOPE Sec. 4.2) against slow, dense versions."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from naive_scope import alignment, graph
from torch.autograd import gradcheck

from pnpfuse.fusion.scope import alignment as aligned
from pnpfuse.fusion.scope import distances
from pnpfuse.fusion.scope.alignment import alignment_loss
from pnpfuse.fusion.scope.semantic import Neighbours, semantic_graph


def embeddings(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(found, columns):
    empty = found.weight.new_zeros(*found.weight.shape[:-1], columns)
    return empty.scatter(-1, found.index, found.weight)


def chosen(found):
    rows = zip(found.index.tolist(), found.valid.tolist(), strict=True)
    return {i: {j for j, v in zip(*row, strict=True) if v} for i, row in enumerate(rows)}


@pytest.fixture(params=[False, True], ids=["at once", "by blocks"])
def blocks(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(distances, "_PAIRS", 50)
        monkeypatch.setattr(aligned, "_ENTRIES", 50)


@pytest.mark.usefixtures("blocks")
def test_against_all_pairs():
    h, others = embeddings(17, 5), embeddings(12, 5, seed=1)
    present = torch.arange(17) % 4 != 0
    among = torch.arange(12) % 3 != 0
    for k in (1, 4, 40):
        for options in (
            {},
            {"present": present},
            {"candidates": others},
            {"candidates": others, "present": present, "among": among},
        ):
            found = semantic_graph(h, k, **options)
            given = {name: value.numpy() for name, value in options.items()}
            expected, neighbours = graph(h.numpy(), k, **given)
            assert chosen(found) == neighbours
            columns = 12 if "candidates" in options else 17
            assert found.index.shape == (17, min(k, 12 if columns == 12 else 16))
            np.testing.assert_allclose(dense(found, columns), expected, atol=1e-7)


@pytest.mark.usefixtures("blocks")
def test_several_graphs_at_once_are_those_one_by_one():
    h, others = embeddings(3, 9, 4), embeddings(3, 7, 4, seed=1)
    present, among = embeddings(3, 9) > -0.8, embeddings(3, 7) > -0.8
    own = semantic_graph(h, 3, present=present).unbind()
    bank = semantic_graph(h, 3, candidates=others, present=present, among=among).unbind()
    for m in range(3):
        alone = semantic_graph(h[m], 3, present=present[m])
        beside = semantic_graph(h[m], 3, candidates=others[m], present=present[m], among=among[m])
        for one, other in zip((*own[m], *bank[m]), (*alone, *beside), strict=True):
            torch.testing.assert_close(one, other)


def test_neighbours_survive_an_offset_and_tight_clusters():
    h = embeddings(40, 6)
    expected = chosen(semantic_graph(h, 5))
    assert chosen(semantic_graph((h + 2.0**10).float(), 5)) == chosen(
        semantic_graph((h + 2.0**10).float().double(), 5)
    )
    clusters = (h * 1e-4).float() + 30 * (torch.arange(40) % 2)[:, None]  # far apart, tight
    _, neighbours = graph(clusters.double().numpy(), 5)
    assert chosen(semantic_graph(clusters, 5)) == neighbours
    with torch.autocast("cpu", torch.bfloat16):
        assert chosen(semantic_graph(h.float(), 5)) == expected


def test_copies_share_and_nothing_explodes():
    h = embeddings(10, 4, dtype=torch.float32)
    h[1:4] = h[0]
    h = h.requires_grad_()
    found = semantic_graph(h, 5)
    weights = dense(found, 10)
    torch.testing.assert_close(weights[:4, :4], (1 - torch.eye(4)) / 3)
    found.weight.square().sum().backward()
    assert h.grad.isfinite().all() and not h.grad[:4].isnan().any()
    same = torch.ones(6, 3).requires_grad_()  # a collapsed encoder
    found = semantic_graph(same, 3)
    assert found.weight.tolist() == [[pytest.approx(1 / 3)] * 3] * 6
    found.weight[:, 0].sum().backward()
    assert not same.grad.any()


def test_absent_rows_hold_anything_and_get_no_gradient():
    h = embeddings(8, 3, dtype=torch.float32)
    present = torch.arange(8) % 3 != 0
    spoilt = torch.where(present[:, None], h, torch.nan).requires_grad_()
    found, plain = semantic_graph(spoilt, 3, present=present), semantic_graph(h, 3, present=present)
    torch.testing.assert_close(found.weight, plain.weight)
    assert not found.valid[~present].any() and not found.weight[~present].any()
    (found.weight * torch.arange(3)).sum().backward()
    assert spoilt.grad.isfinite().all() and not spoilt.grad[~present].any()
    for rows in (1, 2):
        alone = semantic_graph(h[:rows], 30)
        assert alone.index.shape == (rows, 1)
        assert alone.weight.tolist() == [[rows - 1.0]] * rows


def test_a_sample_among_references_does_not_see_its_batch():
    h, others = embeddings(9, 5, dtype=torch.float32), embeddings(30, 5, dtype=torch.float32)
    others[20:] = others[:10]
    together = semantic_graph(h, 7, candidates=others)
    for i in range(9):
        alone = semantic_graph(h[i : i + 1], 7, candidates=others)
        assert torch.equal(alone.index[0], together.index[i])
        torch.testing.assert_close(alone.weight[0], together.weight[i])


@pytest.mark.usefixtures("blocks")
def test_gradients_of_the_graph_and_of_the_loss():
    h, others = embeddings(3, 6, 2).requires_grad_(), embeddings(3, 5, 2, seed=1).requires_grad_()
    assert gradcheck(lambda x: semantic_graph(x, 3).weight, h)

    def loss(x, y):
        return alignment_loss(semantic_graph(x, 3, candidates=y).unbind(), 5)

    assert gradcheck(loss, (h, others))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("masked", [False, True])
def test_alignment_against_dense_graphs(masked):
    h = embeddings(4, 11, 3)
    present = embeddings(4, 11, seed=2) > -0.5 if masked else None
    graphs = semantic_graph(h, 4, present=present).unbind()
    leaves = [found.weight.clone().requires_grad_() for found in graphs]
    found = alignment_loss(
        [Neighbours(g.index, w, g.valid) for g, w in zip(graphs, leaves, strict=True)], 11
    )
    laid = [dense(g, 11) for g in graphs]
    assert found.item() == pytest.approx(alignment([part.numpy() for part in laid]))
    found.backward()
    for i, (one, leaf) in enumerate(zip(laid, leaves, strict=True)):
        slope = torch.zeros_like(one)
        for j, other in enumerate(laid):
            rows = one.any(1) & other.any(1)
            if j != i:
                slope += 2 * (one - other) * rows[:, None] / max(1, rows.sum()) / 11 / 6
        torch.testing.assert_close(leaf.grad, slope.gather(1, graphs[i].index))


def test_alignment_of_equal_and_of_no_graphs():
    found = semantic_graph(embeddings(9, 3, dtype=torch.float32), 4)
    order = torch.tensor([2, 0, 3, 1])
    turned = Neighbours(*(part[:, order] for part in found))
    assert alignment_loss([found, found], 9) == 0
    assert 0 <= alignment_loss([found, turned], 9) < 1e-8
    assert alignment_loss([found], 9) == 0
    halves = [semantic_graph(embeddings(9, 3), 4, present=torch.arange(9) < 4)]
    halves += [semantic_graph(embeddings(9, 3), 4, present=torch.arange(9) >= 4)]
    assert alignment_loss(halves, 9) == 0  # no row that both have


def test_no_square_matrix_is_kept_for_the_gradient(monkeypatch):
    """Memory is linear in k: what is kept for the backward pass grows with the edges."""
    monkeypatch.setattr(distances, "_PAIRS", 2**10)
    monkeypatch.setattr(aligned, "_ENTRIES", 2**10)
    kept = {}
    for rows in (128, 256):
        h, sizes = embeddings(2, rows, 2).requires_grad_(), []

        def pack(x, sizes=sizes):
            sizes.append(x.untyped_storage().size())
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            alignment_loss(semantic_graph(h, 3).unbind(), rows)
        kept[rows] = max(sizes)
    assert all(b <= 2.1 * a for a, b in pairwise(kept.values()))
