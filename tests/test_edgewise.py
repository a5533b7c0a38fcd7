"""The compiled passes over edges against exact sums, and against the blocks of torch."""

import math
import subprocess
import sys

import pytest
import torch

from pnpfuse_analysis import dirichlet_energy, mean_average_distance, rayleigh_quotient
from pnpfuse_analysis.graphs import differences
from pnpfuse_analysis.graphs.differences import squared_differences

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def noise(*shape, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=draw).to(dtype)


def random_graph(count, edges, seed=0):
    return torch.randint(count, (2, edges), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def compiled(monkeypatch):
    """Take the compiled passes for any work, but the blocks inside `blocks(...)`."""
    monkeypatch.setattr(differences, "_COMPILED_WORK", 0)

    def blocks(call, *args):
        with monkeypatch.context() as patch:
            patch.setattr(differences, "_COMPILED_WORK", math.inf)
            return call(*args)

    return blocks


def exact(x, edges):
    """Sums of the squares of differences in float64, added up without rounding."""
    rows = x.double().tolist()
    return [
        math.fsum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True))
        for i, j in edges.T.tolist()
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 2, 7, 8, 33, 64, 1000])
def test_squares_are_those_of_exact_sums(compiled, dtype, features):
    x, edges = noise(20, features, dtype=dtype), random_graph(20, 60)
    found = squared_differences(x, edges)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(exact(x, edges), rel=1e-15, abs=0)
    assert bool((found[edges[0] == edges[1]] == 0).all())  # self-loops
    torch.testing.assert_close(found, compiled(squared_differences, x, edges), rtol=2e-15, atol=0)


@pytest.mark.parametrize("offset", [5.0, 1e4, -3e30])
def test_squares_near_collapse_keep_their_digits(compiled, offset):
    x = (offset * (1 + 1e-6 * noise(40, 64))).float()
    edges = random_graph(40, 200, seed=1)
    assert squared_differences(x, edges).tolist() == pytest.approx(exact(x, edges), rel=1e-15)


def test_views_of_nodes_and_edges(compiled):
    wide, pairs = noise(24, 40, dtype=torch.float32), random_graph(12, 50).T.contiguous()
    for x in (wide.T[:12], wide[::2, 5::3], wide[:12, :1].expand(12, 9), wide[:12].flip(0)):
        found = squared_differences(x, pairs.T)
        assert found.tolist() == pytest.approx(exact(x, pairs.T), rel=1e-15, abs=0)
    complex_parts = torch.complex(wide[:12], wide[12:]).conj().imag  # its sign is a flag
    found = squared_differences(complex_parts, pairs.T)
    assert found.tolist() == pytest.approx(exact(wide[12:], pairs.T), rel=1e-15)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 7, 18])
def test_what_is_not_finite_stays_so(compiled, bad, column):
    x = noise(6, 19, dtype=torch.float32)
    x[2, column] = bad
    edges = torch.tensor([[0, 2, 2, 4, 5], [1, 3, 2, 2, 0]])
    found = squared_differences(x, edges)
    far = math.nan if math.isnan(bad) else math.inf
    assert found[[1, 3]].tolist() == pytest.approx([far, far], nan_ok=True)
    assert math.isnan(found[2])
    assert bool(torch.isfinite(found[[0, 4]]).all())
    assert math.isnan(float(dirichlet_energy(x, edges)))


def test_no_edges(compiled):
    x = noise(4, 3).requires_grad_()
    squares = squared_differences(x, torch.zeros(2, 0, dtype=torch.int64))
    assert squares.shape == (0,)
    assert not torch.autograd.grad(squares.sum(), x)[0].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 5, 16, 40])
def test_slopes_are_those_of_the_blocks(compiled, dtype, features):
    # Every edge of a hub meets in one node, and is added up before it is rounded.
    edges = torch.cat((random_graph(30, 200), torch.arange(30).repeat(2, 1)), 1)
    edges[0, :50] = 3
    x = noise(30, features, dtype=dtype).requires_grad_()
    weight = noise(edges.shape[1], seed=2)

    def slope():
        return torch.autograd.grad(squared_differences(x, edges) @ weight, x)[0]

    found = slope()
    assert found.dtype == dtype
    narrow = torch.finfo(dtype).eps if dtype != torch.float64 else 1e-13
    torch.testing.assert_close(found, compiled(slope), rtol=narrow, atol=1e-12)
    plain = x.detach().double().requires_grad_()
    squares = (plain[edges[0]] - plain[edges[1]]).square().sum(1)
    expected = torch.autograd.grad(squares @ weight, plain)[0]
    torch.testing.assert_close(found.double(), expected, rtol=narrow, atol=1e-12)


def test_first_and_second_derivatives(compiled):
    edges, x = random_graph(5, 12, seed=6), noise(5, 2, seed=7).requires_grad_()
    weight = (noise(12, seed=8) ** 2 + 0.1).requires_grad_()
    for convention in ("scope", "sqrt", "sym", "rw"):
        assert torch.autograd.gradcheck(
            lambda x, w, c=convention: dirichlet_energy(x, edges, w, convention=c), (x, weight)
        )
    for measure in (rayleigh_quotient, mean_average_distance):
        assert torch.autograd.gradcheck(lambda x, m=measure: m(x, edges), (x,))
    assert torch.autograd.gradgradcheck(
        lambda x, w: dirichlet_energy(x, edges, w) ** 2, (x, weight)
    )


def test_any_number_of_threads_gives_the_same(compiled):
    x, edges = noise(50, 70, dtype=torch.float32).requires_grad_(), random_graph(50, 3000)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            squares = squared_differences(x, edges)
            found.append((squares, *torch.autograd.grad(squares.sum(), x)))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_much_work_is_compiled_and_little_is_not():
    code = (
        "import sys, torch; from pnpfuse_analysis import dirichlet_energy as energy;"
        "edges = torch.arange(20000).remainder(100).reshape(2, -1);"
        "energy(torch.ones(100, 64), edges); assert 'numba' not in sys.modules;"
        "energy(torch.ones(100, 128), edges); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
