"""Mean average distance, and all measures through the layers, against closed forms."""

import math

import naive_graphs as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_distances

from pnpfuse_analysis import (
    dirichlet_energy,
    knn_graph,
    mean_average_distance,
    rayleigh_quotient,
    smoothing_profile,
    smoothing_report,
)


def noise(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=draw)


def random_graph(count, edges, seed):
    return torch.randint(count, (2, edges), generator=torch.Generator().manual_seed(seed))


def ring(n):
    i = torch.arange(n)
    return torch.stack((torch.cat((i, i)), torch.cat(((i + 1) % n, (i - 1) % n))))


def wave(n, m):
    return torch.sin(2 * math.pi * m * torch.arange(n, dtype=torch.float64) / n)


@pytest.mark.parametrize("direction", ["as_given", "union", "mutual"])
def test_distance_agrees_with_loops(direction):
    # A directed multigraph with self-loops, isolated nodes and two nodes at the origin.
    x, edges = noise(15, 3), random_graph(13, 60, seed=1)
    x[[3, 14]] = 0
    dense = naive.weights(edges, 15)
    if direction != "as_given":
        dense = dense + dense.T if direction == "union" else dense * dense.T
        dense = (dense > 0).astype(float)
    found = mean_average_distance(x, edges, direction=direction, chunk=7)
    assert float(found) == pytest.approx(naive.mean_average_distance(x, dense), rel=1e-12)


def test_distance_without_a_graph_is_over_all_pairs():
    x = noise(40, 5)
    apart = cosine_distances(x.numpy())
    assert float(mean_average_distance(x)) == pytest.approx(apart.sum() / 40 / 39, rel=1e-12)
    every = torch.tensor([(i, j) for i in range(40) for j in range(40)]).T
    assert float(mean_average_distance(x, every)) == pytest.approx(apart.sum() / 40 / 39, rel=1e-12)
    # Chen et al. leave out distances of 0, which only a node to itself has here.
    paper = np.mean([row[row > 1e-12].mean() for row in apart])
    assert float(mean_average_distance(x)) == pytest.approx(paper, rel=1e-12)
    x[7] = 0
    apart = np.delete(np.delete(apart, 7, 0), 7, 1)
    assert float(mean_average_distance(x)) == pytest.approx(apart.sum() / 39 / 38, rel=1e-12)


def test_a_chunk_is_checked_where_none_is_needed():
    with pytest.raises(ValueError, match="chunk must be a whole number >= 1, found 0"):
        mean_average_distance(torch.ones(3, 2), chunk=0)


def test_distances_with_a_known_angle():
    pair = torch.tensor([[0, 1], [1, 0]])
    for angle in (0.0, 1e-6, 0.3, math.pi / 2, 3.0, math.pi):
        turned = [3 * math.cos(angle), 3 * math.sin(angle)]
        x = torch.tensor([[2.0, 0.0], turned], dtype=torch.float64)
        expected = 2 * math.sin(angle / 2) ** 2  # 1 - cos, which has no digits at 1e-6
        for graph in (pair, pair[:, :1], None):
            assert float(mean_average_distance(x, graph)) == pytest.approx(expected, rel=1e-9)


def test_distance_dies_under_an_offset_and_the_energy_does_not():
    x, edges = noise(100, 8), knn_graph(noise(100, 3, seed=1), 6)
    near, far = mean_average_distance(x, edges), mean_average_distance(x + 100, edges)
    assert float(near) > 0.9
    assert float(far) < 2e-4
    energies = [float(dirichlet_energy(shifted, edges)) for shifted in (x, x + 100)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-12)
    # What is left of it is |difference|^2 / 2 |offset|^2 along each edge, and still exact.
    digits = mean_average_distance((5 + 1e-4 * x).float(), edges)
    wide = (5 + 1e-4 * x).float().double()
    expected = naive.mean_average_distance(wide.numpy(), naive.weights(edges, 100))
    assert float(digits) == pytest.approx(expected, rel=1e-5)  # 1 - cos is the loser here


@given(seed=st.integers(0, 10**6), power=st.integers(-280, 280))
@settings(max_examples=40, deadline=None)
def test_distance_minds_no_scale_and_no_names(seed, power):
    x, edges = noise(9, 3, seed=seed), random_graph(9, 25, seed)
    base = float(mean_average_distance(x, edges))
    assert 0 <= base <= 2
    scales = 10.0 ** (noise(9, 1, seed=seed + 1) + power)
    assert float(mean_average_distance(x * scales, edges)) == pytest.approx(base, rel=1e-12)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    renamed = mean_average_distance(x[order], order.argsort()[edges])
    assert float(renamed) == pytest.approx(base, rel=1e-12)


def test_distance_without_a_value():
    x = noise(4, 2)
    loops = torch.arange(4).repeat(2, 1)
    for graph in (torch.zeros(2, 0, dtype=torch.int64), loops):
        assert math.isnan(float(mean_average_distance(x, graph)))
    assert math.isnan(float(mean_average_distance(torch.zeros(4, 2), ring(4))))
    assert math.isnan(float(mean_average_distance(torch.zeros(4, 2))))
    assert math.isnan(float(mean_average_distance(torch.ones(1, 2))))
    x[2, 0] = math.nan
    assert math.isnan(float(mean_average_distance(x)))
    assert math.isnan(float(mean_average_distance(x, ring(2))))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32])
def test_distance_of_any_dtype(dtype):
    x = (4 * noise(30, 4)).to(dtype)
    expected = float(mean_average_distance(x.double(), ring(30)))
    assert float(mean_average_distance(x, ring(30))) == pytest.approx(expected, rel=1e-14)
    assert float(mean_average_distance(x.double().numpy(), ring(30).numpy())) == pytest.approx(
        expected, rel=1e-14
    )


def test_distance_has_the_right_gradient():
    x = noise(6, 2, seed=7)
    x[4] = 0
    x.requires_grad_()
    edges = random_graph(6, 20, seed=6)
    kept = torch.ones(6, 1, dtype=torch.float64)
    kept[4] = 0  # at the origin the direction jumps; its gradient is 0
    for graph in (edges, None):
        assert torch.autograd.gradcheck(
            lambda x, graph=graph: mean_average_distance(x * kept, graph, chunk=7), (x,)
        )


def test_profile_of_a_wave_that_is_averaged():
    # Uniform attention over {i-1, i, i+1} multiplies the wave by a: E_l = a^2l E_0, R stays.
    n, m = 48, 5
    lam, a = 2 - 2 * math.cos(2 * math.pi * m / n), (1 + 2 * math.cos(2 * math.pi * m / n)) / 3
    assert a == pytest.approx(0.862236, abs=5e-7)
    average = torch.zeros(n, n, dtype=torch.float64)
    average[tuple(ring(n))] = 1 / 3
    average.fill_diagonal_(1 / 3)
    layers = [wave(n, m)[:, None]]
    for _ in range(5):
        layers.append(average @ layers[-1])
    found = smoothing_profile(layers, ring(n))
    expected = lam * a ** (2 * torch.arange(6, dtype=torch.float64))
    torch.testing.assert_close(found.energy, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.rayleigh, torch.full_like(expected, lam), rtol=1e-11, atol=0)
    torch.testing.assert_close(found.effective_rank, torch.ones_like(expected))
    assert float(found.log_slope) == pytest.approx(2 * math.log(a), rel=1e-12)
    assert found.names == ("0", "1", "2", "3", "4", "5")
    at = found.energy[[1, 3, 5]].tolist()
    assert at == pytest.approx([0.3073, 0.1698, 0.0939], abs=5e-5)
    assert "energy x 0.743 a layer" in repr(found)


def test_a_profile_in_which_energy_rises_while_features_get_smoother():
    # h <- h + s h with s larger for the smoother of two modes.
    n, slow, quick = 48, 2, 13
    layers = [
        2 * 1.05**layer * wave(n, slow) + 0.6 * 1.001**layer * wave(n, quick) for layer in range(21)
    ]
    found = smoothing_profile(layers, ring(n))
    assert float(found.log_slope) > 0
    assert bool((found.energy.diff() > 0).all())
    assert bool((found.rayleigh.diff() < 0).all())


def test_a_profile_takes_each_layer_on_its_own():
    edges, weight = random_graph(30, 120, seed=2), noise(120).abs()
    layers = {"in": noise(30, 4).float(), "mid": noise(30, 7, seed=1), "out": noise(30, seed=2)}
    graph = torch.sparse_coo_tensor(edges, weight, (30, 30), check_invariants=True)
    for given_graph, given_weight in ((edges, weight), (graph, None)):
        found = smoothing_profile(
            layers, given_graph, given_weight, convention="sym", direction="union", chunk=11
        )
        assert found.names == ("in", "mid", "out")
        for place, x in enumerate(layers.values()):
            how = {"direction": "union"}
            energy = dirichlet_energy(x, edges, weight, convention="sym", **how)
            assert float(found.energy[place]) == pytest.approx(float(energy), rel=1e-12)
            quotient = rayleigh_quotient(x, edges, weight, **how)
            assert float(found.rayleigh[place]) == pytest.approx(float(quotient), rel=1e-12)
            distance = mean_average_distance(x, edges, **how)
            assert float(found.mean_average_distance[place]) == pytest.approx(float(distance))
    singular = np.linalg.svd(layers["mid"].numpy(), compute_uv=False)
    share = singular / singular.sum()
    expected = np.exp(-(share * np.log(share)).sum())
    assert float(found.effective_rank[1]) == pytest.approx(expected, rel=1e-12)


def test_a_profile_of_collapsed_layers():
    x = noise(20, 3).requires_grad_()
    still = smoothing_profile([x, x * 0.1, torch.ones(20, 3), x * 0], ring(20))
    assert not still.energy.requires_grad
    assert still.energy[2:].tolist() == [0, 0]
    assert float(still.log_slope) == pytest.approx(2 * math.log(0.1), rel=1e-6)
    assert torch.isnan(still.rayleigh).tolist() == [False, False, True, True]
    assert still.effective_rank[2:].tolist() == pytest.approx([1, 0], abs=1e-12)
    assert torch.isnan(smoothing_profile([x], ring(20)).log_slope)
    bad = smoothing_profile([x, x * math.nan], ring(20))
    for values in (bad.energy, bad.rayleigh, bad.mean_average_distance, bad.effective_rank):
        assert torch.isnan(values).tolist() == [False, True]


def test_a_profile_is_drawn(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    from matplotlib import pyplot

    found = smoothing_profile({"a": noise(9, 2), "b": 0.5 * noise(9, 2)}, ring(9))
    axes = found.plot()
    assert len(axes.lines) == 4
    assert axes.lines[0].get_ydata()[1] == pytest.approx(0.25)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    own = pyplot.figure().subplots()
    assert found.plot(own) is own
    pyplot.close("all")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({1: torch.ones(3, 2), "1": torch.ones(3, 2)}, "names that differ as text, found .1, '1'."),
        ([], "layers must hold features of at least one layer"),
        ([torch.ones(4, 2), torch.ones(5, 2)], r"the same V, found \[\(4, 2\), \(5, 2\)\]"),
        ([torch.ones(4, 2), torch.ones(2, 4, 2)], r"shape \(V, d\) with the same V"),
        ([torch.ones(2, 4, 2)], r"shape \(V, d\) with the same V, found \[\(2, 4, 2\)\]"),
        ([torch.tensor(1.0)], r"shape \(V, d\) with the same V"),
        ([[1, 2, 3, 4]], r"layers\[0\] must be a torch tensor or a NumPy array, found list"),
        ({"out": [1, 2]}, r"layers\['out'\] must be a torch tensor or a NumPy array, found list"),
    ],
)
def test_wrong_layers_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        smoothing_profile(layers, ring(4))


@pytest.mark.parametrize("seed", range(3))
def test_report_counts_what_is_peculiar(seed):
    edges = random_graph(12, 30, seed)
    x = noise(15, 3, seed=seed)
    x[5] = 0
    report = smoothing_report(x, edges)
    for name, value in naive.counts(edges, 15).items():
        assert report[name] == pytest.approx(value), name
    assert (report["features"], report["zero_nodes"]) == (3, 1)
    for convention in ("scope", "sqrt", "edge_mean", "trace", "sym", "rw"):
        expected = dirichlet_energy(x, edges, convention=convention)
        assert report[convention] == pytest.approx(float(expected), rel=1e-13)
    for direction in ("union", "mutual"):
        expected = dirichlet_energy(x, edges, direction=direction)
        assert report[f"scope_{direction}"] == pytest.approx(float(expected), rel=1e-13)
    assert report["rayleigh"] == pytest.approx(float(rayleigh_quotient(x, edges)), rel=1e-12)
    assert report["rayleigh_sym"] == pytest.approx(
        float(rayleigh_quotient(x, edges, laplacian="sym")), rel=1e-12
    )
    expected = mean_average_distance(x, edges)
    assert report["mean_average_distance"] == pytest.approx(float(expected), rel=1e-12)
    assert all(type(value) in (int, float) for value in report.values())


def test_report_of_an_undirected_graph_and_of_none():
    assert smoothing_report(noise(8, 2), ring(8))["reciprocity"] == 1
    empty = smoothing_report(noise(8, 2), torch.zeros(2, 0, dtype=torch.int64))
    assert empty["isolated"] == 8
    assert math.isnan(empty["reciprocity"])
    assert empty["scope"] == 0
    with pytest.raises(ValueError, match=r"x must have shape \(V, d\) .* found \(2, 4, 3\)"):
        smoothing_report(torch.ones(2, 4, 3), ring(4))
