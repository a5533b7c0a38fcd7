import math

import naive_graphs as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import laplacian
from sklearn.neighbors import kneighbors_graph

from pnpfuse_analysis import dirichlet_energy, knn_graph, rayleigh_quotient

CONVENTIONS = ["scope", "sqrt", "edge_mean", "trace", "sym", "rw"]


def ring(n):
    """The ring of n nodes, both directions stored."""
    i = torch.arange(n)
    forth = torch.stack((i, (i + 1) % n))
    return torch.cat((forth, forth.flip(0)), 1)


def wave(n, m):
    return torch.sin(2 * math.pi * m * torch.arange(n, dtype=torch.float64) / n)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def random_graph(count, edges, seed):
    return torch.randint(count, (2, edges), generator=torch.Generator().manual_seed(seed))


def test_ring_has_its_closed_form():
    n, m = 48, 5
    lam = 2 - 2 * math.cos(2 * math.pi * m / n)
    assert lam == pytest.approx(0.413293, abs=5e-7)
    x, edges = wave(n, m), ring(n)
    expected = {
        "scope": lam,
        "sqrt": math.sqrt(lam),
        "edge_mean": lam / 2,
        "trace": lam * n / 2,
        "sym": lam * n / 4,
        "rw": lam * n / 4,
    }
    for convention, value in expected.items():
        energy = dirichlet_energy(x, edges, convention=convention)
        assert float(energy) == pytest.approx(value, rel=1e-13), convention
    assert float(rayleigh_quotient(x, edges)) == pytest.approx(lam, rel=1e-13)
    assert float(rayleigh_quotient(x, edges, laplacian="sym")) == pytest.approx(lam / 2, rel=1e-13)


def test_one_direction_of_the_ring_halves_scope_and_trace_only():
    x, both = noise(12, 3), ring(12)
    once = both[:, :12]
    for convention in CONVENTIONS:
        ratio = dirichlet_energy(x, once, convention=convention) / dirichlet_energy(
            x, both, convention=convention
        )
        expected = {"scope": 0.5, "trace": 0.5, "sqrt": math.sqrt(0.5)}.get(convention, 1.0)
        assert float(ratio) == pytest.approx(expected, rel=1e-12), convention


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("direction", ["as_given", "union", "mutual"])
def test_energy_agrees_with_dense_matrices(convention, direction):
    # A directed multigraph with self-loops and isolated nodes.
    count = 14
    edges = random_graph(count - 2, 70, seed=1)
    weight = torch.rand(70, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = noise(count, 3, seed=3)
    dense = naive.weights(edges, count, weight.numpy())
    if direction == "union":
        dense = np.maximum(dense, dense.T)
    elif direction == "mutual":
        dense = np.minimum(dense, dense.T)
    found = dirichlet_energy(x, edges, weight, convention=convention, direction=direction, chunk=9)
    expected = naive.dirichlet_energy(x.numpy(), dense, convention)
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["comb", "sym"])
def test_rayleigh_quotient_agrees_with_the_dense_laplacian(kind):
    edges, x = random_graph(10, 40, seed=4), noise(10, 2, seed=5).numpy()
    lap = naive.laplacian(naive.weights(edges, 10), kind)
    expected = np.trace(x.T @ lap @ x) / np.trace(x.T @ x)
    found = rayleigh_quotient(x, edges, laplacian=kind, centre=False)
    assert float(found) == pytest.approx(expected, rel=1e-12)
    values, vectors = np.linalg.eigh(lap)
    for value, vector in zip(values[1:], vectors.T[1:], strict=True):
        shifted = vector + 3 * vectors[:, 0]
        found = rayleigh_quotient(shifted, edges, laplacian=kind)
        assert float(found) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 5.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energy_near_one_point_keeps_its_digits(offset, dtype):
    x = (offset + 1e-4 * noise(300, 16, dtype=torch.float64)).to(dtype)
    edges = knn_graph(noise(300, 4, seed=9), 8)
    i, j = edges
    exact = sum(
        (float(a) - float(b)) ** 2
        for p, q in zip(x[i].tolist(), x[j].tolist(), strict=True)
        for a, b in zip(p, q, strict=True)
    )
    assert float(dirichlet_energy(x, edges)) == pytest.approx(exact / 300, rel=1e-12)


def test_energy_near_two_points_keeps_its_digits():
    # Centring does not save the expanded form here; differences do.
    side = torch.where(torch.arange(200) < 100, 5.0, -5.0)[:, None]
    x = (side + 1e-4 * noise(200, 64)).float()
    edges = torch.cat((knn_graph(x[:100], 6), knn_graph(x[100:], 6) + 100), 1)
    exact = (x.double()[edges[0]] - x.double()[edges[1]]).square().sum() / 200
    assert float(dirichlet_energy(x, edges)) == pytest.approx(float(exact), rel=1e-12)
    assert 1e-6 < float(exact) < 1e-4
    square = x.square().sum(1)
    expanded = (square[edges[0]] + square[edges[1]] - 2 * (x[edges[0]] * x[edges[1]]).sum(1)).sum()
    assert abs(float(expanded) / 200 / float(exact) - 1) > 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_widened(dtype):
    x, edges = noise(50, 8).to(dtype), ring(50)
    found = dirichlet_energy(x, edges)
    assert found.dtype == torch.float64
    assert float(found) == float(dirichlet_energy(x.double(), edges))
    hub = torch.stack((torch.zeros(3000, dtype=torch.int64), torch.arange(3000) % 49 + 1))
    wide, narrow = x.double().requires_grad_(), x.clone().requires_grad_()
    for leaf in (wide, narrow):
        dirichlet_energy(leaf, hub, chunk=100).backward()
    # 3000 terms meet in one gradient: they must add up before they are rounded.
    assert torch.equal(narrow.grad, wide.grad.to(dtype))


def test_sym_energy_of_constant_features_on_a_star_is_not_zero():
    n = 8  # sum over n edges of (1 - 1/sqrt(n))^2
    spokes = torch.stack((torch.zeros(n, dtype=torch.int64), torch.arange(1, n + 1)))
    star = torch.cat((spokes, spokes.flip(0)), 1)
    x = torch.ones(n + 1)
    energy = dirichlet_energy(x, star, convention="sym")
    assert float(energy) == pytest.approx((math.sqrt(n) - 1) ** 2, rel=1e-12)
    assert float(energy) == pytest.approx(3.34, abs=0.005)
    assert float(dirichlet_energy(x, star)) == 0


def test_the_directed_quadratic_form_is_not_the_energy():
    x = noise(60, 4)
    edges = knn_graph(x, 5)
    dense = naive.weights(edges, 60)
    form = np.trace(x.numpy().T @ (np.diag(dense.sum(1)) - dense) @ x.numpy())
    energy = float(dirichlet_energy(x, edges, convention="trace"))
    symmetric = np.trace(x.numpy().T @ naive.laplacian(dense) @ x.numpy())
    assert energy == pytest.approx(symmetric, rel=1e-12)
    assert abs(form / energy - 1) > 0.05


@pytest.mark.parametrize("normed", [False, True])
def test_trace_agrees_with_the_laplacian_of_scipy(normed):
    edges = knn_graph(noise(40, 3), 5, symmetric=True)
    x, dense = noise(40, 4, seed=1), naive.weights(edges, 40)
    lap = laplacian(dense, normed=normed)
    expected = np.trace(x.numpy().T @ lap @ x.numpy())
    found = dirichlet_energy(x, edges, convention="sym" if normed else "trace")
    assert float(found) == pytest.approx(expected, rel=1e-12)
    quotient = rayleigh_quotient(x, edges, laplacian="sym" if normed else "comb", centre=False)
    assert float(quotient) == pytest.approx(expected / float(x.square().sum()), rel=1e-12)


def test_directions_of_a_graph_of_neighbours():
    # The pairs of a directed graph: an edge either has its reverse or not.
    x = noise(300, 8)
    edges = knn_graph(x, 5)
    stored = set(map(tuple, edges.T.tolist()))
    square = {(i, j): float((x[i] - x[j]).square().sum()) for i, j in stored}
    both = {pair for pair in stored if pair[::-1] in stored}
    assert 0.2 < len(both) / len(stored) < 0.9
    given, one_way = sum(square.values()), sum(square[pair] for pair in stored - both)
    expected = {
        "as_given": given,
        "union": given + one_way,
        "mutual": given - one_way,
    }
    for direction, total in expected.items():
        found = dirichlet_energy(x, edges, direction=direction)
        assert float(found) == pytest.approx(total / 300, rel=1e-12), direction
        apart = dirichlet_energy(x, edges, direction=direction, convention="edge_mean")
        pairs = len(stored) + {"as_given": 0, "union": 1, "mutual": -1}[direction] * (
            len(stored) - len(both)
        )
        assert float(apart) == pytest.approx(total / pairs, rel=1e-12), direction


def test_duplicates_loops_and_isolated_nodes():
    x, plain = noise(6, 3), ring(5)  # node 5 is isolated
    base = {c: float(dirichlet_energy(x, plain, convention=c)) for c in CONVENTIONS}
    assert base["scope"] == pytest.approx(float(dirichlet_energy(x[:5], plain)) * 5 / 6, rel=1e-13)
    twice = torch.cat((plain, plain), 1)
    looped = torch.cat((plain, torch.arange(6).repeat(2, 1)), 1)
    for convention, factor in {"scope": 2, "trace": 2, "edge_mean": 1, "sym": 1, "rw": 1}.items():
        found = dirichlet_energy(x, twice, convention=convention)
        assert float(found) == pytest.approx(factor * base[convention], rel=1e-12)
    for convention, factor in {"scope": 1, "trace": 1, "edge_mean": 10 / 16, "rw": 2 / 3}.items():
        found = dirichlet_energy(x, looped, convention=convention)
        assert float(found) == pytest.approx(factor * base[convention], rel=1e-12)


def test_batch_gives_each_graph_its_own_energy():
    x = noise(20, 3)
    edges = torch.cat((ring(8), ring(12) + 8), 1)
    batch = (torch.arange(20) >= 8).long()
    for convention in CONVENTIONS:
        both = dirichlet_energy(x, edges, convention=convention, batch=batch, chunk=7)
        alone = [
            dirichlet_energy(x[:8], ring(8), convention=convention),
            dirichlet_energy(x[8:], ring(12), convention=convention),
        ]
        torch.testing.assert_close(both, torch.stack(alone), rtol=1e-12, atol=0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_energy_has_the_right_gradient(convention):
    edges = random_graph(6, 20, seed=6)
    x = noise(6, 2, seed=7).requires_grad_()
    weight = (noise(20, seed=8) ** 2 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w: dirichlet_energy(x, edges, w, convention=convention, chunk=7), (x, weight)
    )


def test_energy_has_the_right_second_derivative():
    edges, x = random_graph(5, 12, seed=6), noise(5, 2, seed=7).requires_grad_()
    weight = (noise(12, seed=8) ** 2 + 0.1).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda x, w: dirichlet_energy(x, edges, w, chunk=7) ** 2, (x, weight)
    )
    lap = naive.laplacian(naive.weights(edges, 5, weight.detach().numpy()))
    second = torch.autograd.functional.hessian(
        lambda x: dirichlet_energy(x, edges, weight, convention="trace"), x[:, 0]
    )
    np.testing.assert_allclose(second.detach().numpy(), 2 * lap, atol=1e-12)


def test_a_recorded_gradient_keeps_no_differences():
    edges, kept = random_graph(50, 4000, seed=1), []
    x = noise(50, 32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        energy = dirichlet_energy(x, edges)
    assert sum(kept) < 5 * 4000
    (slope,) = torch.autograd.grad(energy, x)
    assert torch.equal(torch.func.grad(lambda x: dirichlet_energy(x, edges))(x), slope)
    plain = (x[edges[0]] - x[edges[1]]).square().sum() / 50
    torch.testing.assert_close(slope, torch.autograd.grad(plain, x)[0], rtol=1e-12, atol=1e-12)


def test_rayleigh_quotient_has_the_right_gradient():
    edges, x = ring(7), noise(7, 2, seed=7).requires_grad_()
    for kind in ("comb", "sym"):
        assert torch.autograd.gradcheck(
            lambda x, kind=kind: rayleigh_quotient(x, edges, laplacian=kind), (x,)
        )


def test_root_energy_of_collapsed_features_has_gradient_zero():
    x = torch.ones(5, 2, requires_grad=True)
    energy = dirichlet_energy(x, ring(5), convention="sqrt")
    energy.backward()
    assert float(energy.detach()) == 0
    assert x.grad.tolist() == [[0.0, 0.0]] * 5


@given(seed=st.integers(0, 10**6), factor=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_energy_scales_and_shifts_and_does_not_mind_names(seed, factor, shift):
    x, edges = noise(9, 3, seed=seed), random_graph(9, 25, seed)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    renamed = order.argsort()[edges]
    base = float(dirichlet_energy(x, edges))
    moved = float(dirichlet_energy(factor * x + shift, edges))
    assert moved == pytest.approx(factor**2 * base, rel=1e-6)
    assert float(dirichlet_energy(x[order], renamed)) == pytest.approx(base, rel=1e-12)
    quotient = float(rayleigh_quotient(x, edges))
    assert float(rayleigh_quotient(factor * x + shift, edges)) == pytest.approx(quotient, rel=1e-6)
    top = np.linalg.eigvalsh(naive.laplacian(naive.weights(edges, 9)))[-1]
    assert 0 <= quotient <= top * (1 + 1e-12)


def test_rayleigh_quotient_of_equal_nodes_has_no_value():
    assert math.isnan(float(rayleigh_quotient(torch.full((6, 2), 0.1), ring(6))))
    # A large constant column beside a small varying one does not hide the latter.
    x = torch.stack((torch.full((48,), 1e9, dtype=torch.float64), 1e-3 * wave(48, 5)), 1)
    lam = 2 - 2 * math.cos(2 * math.pi * 5 / 48)
    assert float(rayleigh_quotient(x, ring(48))) == pytest.approx(lam, rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [2, 6])
def test_features_that_are_not_finite_give_nan(bad, row):
    x = noise(7, 3)  # node 6 has no edge
    x[row, 1] = bad
    for kind in ("comb", "sym"):
        for centre in (True, False):
            found = rayleigh_quotient(x, ring(6), laplacian=kind, centre=centre)
            assert math.isnan(float(found))
    two = (torch.arange(7) >= 6).long()
    for convention in CONVENTIONS:
        assert math.isnan(float(dirichlet_energy(x, ring(6), convention=convention)))
        apart = dirichlet_energy(x, ring(6), convention=convention, batch=two)
        assert math.isnan(float(apart[row // 6]))
        if row == 6:
            assert math.isfinite(float(apart[0]))


@pytest.mark.parametrize("factor", [1e-300, 1e-170, 1e160, 1e300])
def test_root_energy_in_extreme_units(factor):
    x, edges = noise(30, 4), random_graph(30, 90, seed=4)
    plain = dirichlet_energy(x, edges, convention="sqrt")
    found = dirichlet_energy(factor * x, edges, convention="sqrt")
    assert float(found) == pytest.approx(factor * float(plain), rel=1e-12)


@pytest.mark.parametrize("kind", ["comb", "sym"])
@pytest.mark.parametrize("factor", [1e-300, 1e-170, 1e160, 1e300])
def test_rayleigh_quotient_in_extreme_units(kind, factor):
    x, edges = noise(30, 4), random_graph(30, 90, seed=4)
    for centre in (True, False):
        plain = rayleigh_quotient(x, edges, laplacian=kind, centre=centre)
        found = rayleigh_quotient(factor * x, edges, laplacian=kind, centre=centre)
        assert float(found) == pytest.approx(float(plain), rel=1e-12)


def test_rayleigh_quotient_far_from_the_origin_keeps_its_digits():
    # Whole numbers, exact beside 2^47; one pass of centring leaves an offset of about 1e-2.
    for seed in range(5):
        near = torch.randint(20, (47, 2), generator=torch.Generator().manual_seed(seed)).double()
        found = rayleigh_quotient(near + 2.0**47, ring(47))
        rest = near.numpy() - near.numpy().mean(0)
        lap = naive.laplacian(naive.weights(ring(47), 47))
        expected = np.trace(rest.T @ lap @ rest) / np.trace(rest.T @ rest)
        assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_part_along_the_degrees_is_taken_out_of_the_sym_quotient():
    # A star has many degrees; along sqrt(d_i), not along constants, L_sym is 0.
    n = 9
    spokes = torch.stack((torch.zeros(n, dtype=torch.int64), torch.arange(1, n + 1)))
    star = torch.cat((spokes, spokes.flip(0)), 1)
    lap = naive.laplacian(naive.weights(star, n + 1), "sym")
    root = np.sqrt(np.r_[n, np.ones(n)])
    x = noise(n + 1, 2, seed=3).numpy() + 1e7 * root[:, None]
    rest = x - np.outer(root, root @ x) / (root @ root)
    expected = np.trace(rest.T @ lap @ rest) / np.trace(rest.T @ rest)
    found = rayleigh_quotient(x, star, laplacian="sym")
    assert float(found) == pytest.approx(expected, rel=1e-6)
    for size in (0.1, 0.3, 1e-3):
        assert math.isnan(float(rayleigh_quotient(size * root, star, laplacian="sym")))
    # A large column of nothing but the kernel does not hide a small one.
    both = np.c_[1e9 * root, 1e-9 * noise(n + 1, seed=4).numpy()]
    small = rayleigh_quotient(both[:, 1:], star, laplacian="sym")
    found = rayleigh_quotient(both, star, laplacian="sym")
    assert float(found) == pytest.approx(float(small), rel=1e-12)


def test_a_gap_in_the_graph_numbers_has_no_mean():
    energy = dirichlet_energy(noise(4, 2), ring(4), batch=torch.full((4,), 3))
    assert energy.shape == (4,)
    assert torch.isnan(energy[:3]).all()
    assert math.isfinite(float(energy[3]))


def test_no_edges_no_energy():
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert float(dirichlet_energy(noise(4, 2), none)) == 0
    assert math.isnan(float(dirichlet_energy(noise(4, 2), none, convention="edge_mean")))


@pytest.mark.parametrize("engine", ["kdtree", "brute"])
def test_knn_graph_agrees_with_scikit_learn(engine):
    x = noise(80, 5)
    edges = knn_graph(x, 6, engine=engine)
    assert edges.shape == (2, 480)
    assert edges.dtype == torch.int64
    expected = kneighbors_graph(x.numpy(), 6).toarray()
    np.testing.assert_array_equal(naive.weights(edges, 80), expected)
    both = knn_graph(x, 6, symmetric=True, engine=engine)
    union = np.maximum(expected, expected.T)
    np.testing.assert_array_equal(naive.weights(both, 80), union)
    energies = [dirichlet_energy(x, edges, direction="union"), dirichlet_energy(x, both)]
    assert float(energies[0]) == pytest.approx(float(energies[1]), rel=1e-13)


@pytest.mark.parametrize("engine", ["kdtree", "brute"])
@pytest.mark.parametrize("factor", [1e160, 1e300, 1e-170, 1e-300])
def test_knn_graph_in_extreme_units(engine, factor):
    x = noise(50, 3)
    plain = knn_graph(x, 3, engine=engine)
    assert torch.equal(knn_graph(x * factor, 3, engine=engine), plain)


def test_knn_graph_points_from_the_node_to_its_neighbour():
    x = torch.tensor([0.0, 1.0, 10.0])
    assert knn_graph(x, 1).tolist() == [[0, 1, 2], [1, 0, 1]]
    assert knn_graph(x.numpy()[::-1], 1).tolist() == [[0, 1, 2], [1, 2, 1]]
    assert knn_graph(x, 1, symmetric=True).tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (torch.zeros(2, 3), "whole numbers"),
        (torch.zeros(2, 3, dtype=torch.bool), "whole numbers"),
        (torch.zeros(3, 2, dtype=torch.int64), r"shape \(2, E\)"),
        (torch.zeros(4, dtype=torch.int64), r"shape \(2, E\)"),
        (torch.tensor([[0, 1], [1, 4]]), r"0 \.\.\. 3, found values from 0 to 4"),
        (np.array([[0, -1], [1, 2]]), "found values from -1"),
        (None, "a torch tensor or a NumPy array, found NoneType"),
        ([[0, 1], [1, 2]], "a torch tensor or a NumPy array, found list"),
        (np.array([["0", "1"], ["1", "2"]]), "numbers of a dtype .*, found <U1"),
        (np.ma.masked_equal([[0, 1], [1, 2]], 2), "no masked values, found 1"),
    ],
)
def test_wrong_edges_are_refused(edges, message):
    for measure in (dirichlet_energy, rayleigh_quotient):
        with pytest.raises(ValueError, match=f"edge_index must .*{message}"):
            measure(torch.ones(4, 2), edges)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "half"}, "convention must be one of"),
        ({"direction": "both"}, "direction must be one of"),
        ({"edge_weight": torch.ones(3)}, r"edge_weight must have shape \(8,\)"),
        ({"edge_weight": -torch.ones(8)}, "edge_weight must be finite and not negative"),
        ({"edge_weight": torch.full((8,), math.nan)}, "edge_weight must be finite"),
        ({"batch": torch.tensor([0, 0, 1, 1])}, "batch must give both ends .*, found 4 of 8 edges"),
        ({"batch": torch.tensor([0, 0, 1])}, r"batch must have shape \(4\)"),
        (
            {"batch": torch.full((4,), 10**12)},
            r"batch must lie in 0 \.\.\. 3, found values from 10",
        ),
        ({"batch": torch.full((4,), 4)}, r"batch must lie in 0 \.\.\. 3, found values from 4 to 4"),
        ({"batch": -torch.ones(4).long()}, "batch must lie in .*, found values from -1"),
        ({"batch": [0, 0, 0, 0]}, "batch must be a torch tensor or a NumPy array, found list"),
        ({"edge_weight": torch.ones(8) * 1j}, "edge_weight must be real, found torch.complex64"),
        ({"edge_weight": np.ones(8) * 1j}, "edge_weight must be real, found torch.complex128"),
        (
            {"edge_weight": np.ma.masked_less(np.arange(8.0), 2)},
            "edge_weight must have .*, found 2",
        ),
        ({"edge_weight": np.ones(8, dtype=object)}, "edge_weight must hold .*, found object"),
        ({"edge_weight": 1.0}, "edge_weight must be a torch tensor .*, found float"),
        ({"chunk": 0}, "chunk must be"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dirichlet_energy(torch.ones(4, 2), ring(4), **options)


def test_wrong_features_are_refused():
    with pytest.raises(ValueError, match=r"x must hold real node features .*\(2, 2, 2, 2\)"):
        dirichlet_energy(torch.ones(2, 2, 2, 2), ring(2))
    with pytest.raises(ValueError, match="laplacian must be one of"):
        rayleigh_quotient(torch.ones(4), ring(4), laplacian="rw")
    with pytest.raises(ValueError, match="k must be below"):
        knn_graph(torch.ones(4, 2), 4)
    with pytest.raises(ValueError, match="x must be finite, found 1 NaN"):
        knn_graph(torch.tensor([0.0, math.nan]), 1)
