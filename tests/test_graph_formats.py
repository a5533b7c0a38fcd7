"""One graph in every form in which people hold one, and many graphs at once."""

import math
from types import SimpleNamespace

import naive_graphs as naive
import numpy as np
import pytest
import scipy.sparse
import torch

from pnpfuse_analysis import (
    dirichlet_energy,
    knn_graph,
    mean_average_distance,
    rayleigh_quotient,
    smoothing_report,
)

# Torch says so of each sparse tensor that a test makes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]

COUNT, EDGES = 12, 40
CONVENTIONS = ["scope", "sqrt", "edge_mean", "trace", "sym", "rw"]


def noise(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=draw)


def simple_graph():
    """Directed edges without repetition, two self-loops among them, one isolated node."""
    keys = torch.randperm((COUNT - 1) ** 2, generator=torch.Generator().manual_seed(1))[:EDGES]
    edges = torch.stack((keys // (COUNT - 1), keys % (COUNT - 1)))
    return edges, noise(EDGES, seed=2).abs() + 0.1


def coo(edges, weight):
    return torch.sparse_coo_tensor(edges, weight, (COUNT, COUNT))


def halves(edges, weight):
    """Each entry stored twice, at half its weight: not coalesced."""
    return coo(torch.cat((edges, edges), 1), torch.cat((weight, weight)) / 2)


def scipy_coo(edges, weight):
    return scipy.sparse.coo_array((weight.numpy(), edges.numpy()), shape=(COUNT, COUNT))


FORMS = {
    "coo": coo,
    "halves": halves,
    "csr": lambda e, w: coo(e, w).to_sparse_csr(),
    "csc": lambda e, w: coo(e, w).to_sparse_csc(),
    "bsr": lambda e, w: coo(e, w).to_dense().to_sparse_bsr((3, 4)),
    "scipy matrix": lambda e, w: scipy.sparse.csr_matrix(scipy_coo(e, w)),
    **{
        f"scipy {form}": lambda e, w, form=form: scipy_coo(e, w).asformat(form)
        for form in ("coo", "csr", "csc", "lil", "dok", "dia", "bsr")
    },
    "data": lambda e, w: SimpleNamespace(edge_index=e, edge_weight=w),
    "data without": lambda e, w: SimpleNamespace(edge_index=coo(e, w), x=None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbers(form):
    edges, weight = simple_graph()
    graph, x = FORMS[form](edges, weight), noise(COUNT, 3)
    for convention in CONVENTIONS:
        for direction in ("as_given", "union", "mutual"):
            how = {"convention": convention, "direction": direction}
            found = dirichlet_energy(x, graph, **how)
            assert float(found) == pytest.approx(
                float(dirichlet_energy(x, edges, weight, **how)), rel=1e-13
            )
    for laplacian in ("comb", "sym"):
        found = rayleigh_quotient(x, graph, laplacian=laplacian)
        expected = rayleigh_quotient(x, edges, weight, laplacian=laplacian)
        assert float(found) == pytest.approx(float(expected), rel=1e-13)
    expected = mean_average_distance(x, edges)
    assert float(mean_average_distance(x, graph)) == pytest.approx(float(expected), rel=1e-13)
    report, plain = smoothing_report(x, graph), smoothing_report(x, edges, weight)
    if form == "bsr":  # its blocks store zeros, too
        assert report.pop("edges") > plain.pop("edges")
        report.pop("self_loops"), plain.pop("self_loops")
    assert report == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_edges_in_an_array_of_any_layout(dtype):
    edges, weight = simple_graph()
    x = noise(COUNT, 3)
    expected = float(dirichlet_energy(x, edges, weight))
    array = np.ascontiguousarray(edges.numpy().T.astype(dtype)).T
    assert float(dirichlet_energy(x.numpy()[:, ::-1], array, weight.numpy())) == pytest.approx(
        expected, rel=1e-14
    )
    backwards = dirichlet_energy(x, array[:, ::-1], weight.numpy()[::-1])
    assert float(backwards) == pytest.approx(expected, rel=1e-14)


def test_an_entry_is_the_edge_from_its_row_to_its_column():
    # The out-degrees of rw tell a matrix from its transpose.
    edges, weight = simple_graph()
    x, dense = noise(COUNT, 2), naive.weights(*simple_graph()[:1], COUNT, weight.numpy())
    there = naive.dirichlet_energy(x, dense, "rw")
    back = naive.dirichlet_energy(x, dense.T, "rw")
    assert abs(there / back - 1) > 1e-2
    for graph in (coo(edges, weight).to_sparse_csc(), scipy.sparse.csc_array(dense)):
        found = dirichlet_energy(x, graph, convention="rw")
        assert float(found) == pytest.approx(there, rel=1e-12)


@pytest.mark.parametrize("form", ["coo", "halves", "csr", "csc", "data"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_gradients_reach_the_values_of_a_sparse_tensor(form, dtype):
    edges, weight = simple_graph()
    x = noise(COUNT, 3)
    plain = weight.to(dtype).requires_grad_()
    values = plain.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad(dirichlet_energy(x, edges, plain, convention="sym"), plain)
    (found,) = torch.autograd.grad(
        dirichlet_energy(x, FORMS[form](edges, values), convention="sym"), values
    )
    torch.testing.assert_close(found, expected)


def test_weights_of_whole_numbers_and_truth_values():
    edges, _ = simple_graph()
    x = noise(COUNT, 3)
    expected = float(dirichlet_energy(x, edges))
    for dtype in (torch.bool, torch.int32, torch.bfloat16):
        graph = coo(edges, torch.ones(EDGES, dtype=dtype))
        assert float(dirichlet_energy(x, graph)) == pytest.approx(expected, rel=1e-14)
    there = scipy_coo(edges, torch.ones(EDGES)).astype(bool)
    assert float(dirichlet_energy(x, there)) == pytest.approx(expected, rel=1e-14)


def test_a_data_object_brings_its_batch():
    x, edges = noise(9, 3), torch.tensor([[0, 1, 5, 6, 8], [1, 2, 6, 7, 5]])
    batch = (torch.arange(9) >= 4).long()
    data = SimpleNamespace(x=x, edge_index=edges, edge_weight=None, batch=batch)
    for measure in (dirichlet_energy, rayleigh_quotient, mean_average_distance):
        assert torch.equal(measure(data.x, data), measure(x, edges, batch=batch))
    alone = dirichlet_energy(x, SimpleNamespace(edge_index=edges, batch=None))
    assert alone.shape == ()
    assert smoothing_report(x, data) == pytest.approx(smoothing_report(x, edges))


def test_data_of_pytorch_geometric():
    geometric = pytest.importorskip("torch_geometric.data")
    x, (edges, weight) = noise(COUNT, 3), simple_graph()
    data = geometric.Data(x=x, edge_index=edges, edge_weight=weight)
    assert torch.equal(dirichlet_energy(data.x, data), dirichlet_energy(x, edges, weight))
    bare = geometric.Data(x=x, edge_index=edges)
    assert torch.equal(dirichlet_energy(x, bare), dirichlet_energy(x, edges))
    two = geometric.Batch.from_data_list([data, data])
    expected = dirichlet_energy(x, edges, weight).repeat(2)
    torch.testing.assert_close(dirichlet_energy(two.x, two), expected)


SQUARE = torch.eye(COUNT)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (SQUARE, r"shape \(2, E\), found \(12, 12\); an adjacency matrix .* sparse"),
        (SQUARE.numpy(), r"an adjacency matrix .* sparse"),
        (torch.eye(5).to_sparse(), r"must have shape \(V, V\) = \(12, 12\).*, found \(5, 5\)"),
        (scipy.sparse.csr_array((12, 5)), r"must have shape \(V, V\) .*, found \(12, 5\)"),
        (SimpleNamespace(edge_index=None), "an object with an edge_index, .* found SimpleNames"),
        (SimpleNamespace(edge_index=[[0], [1]]), "an object with an edge_index, .* found list"),
        ({"edge_index": torch.ones(2, 3)}, "an object with an edge_index, .* found dict"),
    ],
)
def test_graphs_of_other_kinds_are_refused(graph, message):
    for measure in (dirichlet_energy, rayleigh_quotient, mean_average_distance, smoothing_report):
        with pytest.raises(ValueError, match=f"edge_index .*{message}"):
            measure(torch.ones(COUNT, 2), graph)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (-SQUARE.to_sparse(), "edge_weight must be finite and not negative"),
        (scipy.sparse.diags_array(np.full(COUNT, math.nan)), "edge_weight must be finite"),
        ((SQUARE * 1j).to_sparse(), "edge_weight must be real"),
        (torch.ones(COUNT, COUNT, 2).to_sparse(2), r"as a sparse matrix .* \(12, 12, 2\)"),
    ],
)
def test_values_that_are_no_weights_are_refused(graph, message):
    with pytest.raises(ValueError, match=message):
        dirichlet_energy(torch.ones(COUNT, 2), graph)


def test_weights_twice_are_refused():
    x, (edges, weight) = torch.ones(COUNT, 2), simple_graph()
    for graph in (FORMS["data"](edges, weight), coo(edges, weight)):
        with pytest.raises(ValueError, match="edge_weight must be None where the graph has"):
            dirichlet_energy(x, graph, weight)
    bare = SimpleNamespace(edge_index=edges)
    assert float(dirichlet_energy(noise(COUNT), bare, weight)) > 0


@pytest.mark.parametrize("direction", ["as_given", "union", "mutual"])
def test_sets_of_features_on_one_graph_are_as_one_by_one(direction):
    x, (edges, weight) = noise(4, COUNT, 3), simple_graph()
    for convention in CONVENTIONS:
        how = {"convention": convention, "direction": direction}
        found = dirichlet_energy(x, edges, weight, **how, chunk=7)
        alone = torch.stack([dirichlet_energy(one, edges, weight, **how) for one in x])
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)
    for laplacian in ("comb", "sym"):
        how = {"laplacian": laplacian, "direction": direction}
        found = rayleigh_quotient(x, edges, weight, **how)
        alone = torch.stack([rayleigh_quotient(one, edges, weight, **how) for one in x])
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)
    for graph in (edges, None):
        found = mean_average_distance(x, graph, direction=direction)
        alone = [mean_average_distance(one, graph, direction=direction) for one in x]
        torch.testing.assert_close(found, torch.stack(alone), rtol=1e-12, atol=0)


def test_graphs_of_a_batch_do_not_mind_each_other():
    # Offsets, units and NaN of one graph leave the others alone.
    sizes, parts = [7, 9, 5], []
    for seed, size in enumerate(sizes):
        parts.append((noise(size, 3, seed=seed), knn_graph(noise(size, 2, seed=seed), 2)))
    parts[0] = (parts[0][0] * 1e-200 + 1e-199, parts[0][1])
    parts[2] = (parts[2][0] * 1e150, parts[2][1])
    starts = np.r_[0, np.cumsum(sizes)[:-1]].tolist()
    x = torch.cat([part for part, _ in parts])
    edges = torch.cat([e + start for (_, e), start in zip(parts, starts, strict=True)], 1)
    batch = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    for measure, options in (
        (rayleigh_quotient, {"laplacian": "comb"}),
        (rayleigh_quotient, {"laplacian": "sym"}),
        (mean_average_distance, {}),
    ):
        found = measure(x, edges, batch=batch, **options)
        alone = torch.stack([measure(part, e, **options) for part, e in parts])
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)
        hurt = x.clone()
        hurt[8, 1] = math.inf
        after = measure(hurt, edges, batch=batch, **options)
        assert torch.isnan(after).tolist() == [False, True, False]
        assert torch.equal(after[[0, 2]], found[[0, 2]])
    # Without a graph the neighbours are all others of the same graph.
    found = mean_average_distance(x, batch=batch)
    alone = torch.stack([mean_average_distance(part) for part, _ in parts])
    torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)


def test_a_mask_takes_nodes_away_with_their_edges():
    x, (edges, weight) = noise(3, COUNT, 2), simple_graph()
    there = torch.rand(3, COUNT, generator=torch.Generator().manual_seed(3)) < 0.7
    dense = naive.weights(edges, COUNT, weight.numpy())
    gone = torch.where(there[..., None], x, math.nan)
    for convention in CONVENTIONS:
        found = dirichlet_energy(gone, edges, weight, convention=convention, mask=there)
        for value, one, kept in zip(found, x, there, strict=True):
            kept = kept.numpy()
            expected = naive.dirichlet_energy(one[kept], dense[kept][:, kept], convention)
            assert float(value) == pytest.approx(expected, rel=1e-12)
            alone = dirichlet_energy(one, edges, weight, convention=convention, mask=kept)
            assert float(alone) == pytest.approx(expected, rel=1e-12)
    none = torch.zeros(COUNT, dtype=torch.bool)
    assert math.isnan(float(dirichlet_energy(x[0], edges, mask=none)))
    assert math.isnan(float(rayleigh_quotient(x[0], edges, mask=none)))
    assert math.isnan(float(mean_average_distance(x[0], edges, mask=none)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": torch.zeros(COUNT, dtype=torch.int64)}, r"batch must be None for x of shape"),
        ({"mask": torch.ones(COUNT, dtype=torch.bool)}, r"mask must be boolean of shape \(2, 12\)"),
        ({"mask": torch.ones(2, COUNT)}, "mask must be boolean .* found torch.float32"),
        ({"mask": [True]}, "mask must be a torch tensor or a NumPy array, found list"),
    ],
)
def test_wrong_batches_and_masks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dirichlet_energy(torch.ones(2, COUNT, 3), simple_graph()[0], **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_same_numbers_on_cuda():
    x, (edges, weight) = noise(2, COUNT, 3).float(), simple_graph()
    for convention in CONVENTIONS:
        found = dirichlet_energy(x.cuda(), edges, weight, convention=convention, direction="union")
        assert found.is_cuda
        expected = dirichlet_energy(x, edges, weight, convention=convention, direction="union")
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-12, atol=0)
    graph = scipy_coo(edges, weight)
    for laplacian in ("comb", "sym"):
        found = rayleigh_quotient(x.cuda(), graph, laplacian=laplacian)
        torch.testing.assert_close(
            found.cpu(), rayleigh_quotient(x, graph, laplacian=laplacian), rtol=1e-11, atol=0
        )
    for measure in (mean_average_distance, lambda x, *graph: mean_average_distance(x)):
        leaf = x.cuda().requires_grad_()
        measure(leaf, edges).sum().backward()
        plain = x.clone().requires_grad_()
        measure(plain, edges).sum().backward()
        torch.testing.assert_close(leaf.grad.cpu(), plain.grad)
