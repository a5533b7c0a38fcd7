"""Kernels of moving ions: B(x) over all doubles, elimination against dense matrices."""

import numpy as np
import pytest
from mpmath import mp, mpf

from pnpfuse_solvers import elimination, integrator, rosenbrock, transport

# Smallest normal number, and the unit of the last place below it.
NORMAL, LAST = mpf(2) ** -1022, mpf(2) ** -1074


def everywhere():
    """Positive arguments: all magnitudes, and closely where a formula takes over from another."""
    parts = [np.geomspace(5e-324, 1e308, 1500), np.geomspace(1e-10, 1e-8, 50)]
    parts += [np.linspace(edge - 0.01, edge + 0.01, 41) for edge in (1.0, 40.0, 1600.0)]
    parts += [np.linspace(0.0, 60.0, 1201)[1:], np.linspace(690.0, 760.0, 701)]
    return np.concatenate(parts)


def holds(found, exact, relative):
    if abs(exact) < NORMAL:  # results below the normal numbers: to their last place
        return abs(mpf(found) - exact) <= LAST
    return abs(mpf(found) - exact) <= mpf(relative) * abs(exact)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bernoulli_over_all_doubles(sign):
    with mp.workdps(50):
        for x in sign * everywhere():
            v = mpf(float(x))
            exact = v / mp.expm1(v) if abs(v) > mpf("1e-20") else 1 - v / 2
            assert holds(transport.bernoulli(x), exact, "1e-14"), x
    assert transport.bernoulli(0.0) == 1.0 and transport.bernoulli(np.inf) == 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_its_slope_over_all_doubles(sign):
    with mp.workdps(60):
        for x in sign * everywhere():
            v = mpf(float(x))
            if abs(v) < mpf("1e-12"):
                exact = -mpf(1) / 2 + v / 6
            elif v > 0:  # divided by exp(2 v), which mpmath could hold but not expand
                e = mp.exp(-v)
                exact = e * ((1 - v) - e) / (1 - e) ** 2
            else:
                e = mp.exp(v)
                exact = (e * (1 - v) - 1) / (1 - e) ** 2
            assert holds(transport.bernoulli_slope(x), exact, "1e-14"), x
    assert transport.bernoulli_slope(0.0) == -0.5


def random_problem(species, n, stern, scale=1.0):
    rng = np.random.default_rng(species * n)
    z = np.array([1.0, -1.0, 2.0, -0.5])[:species]
    h = rng.uniform(0.5, 2.0, n - 1) / n
    system = elimination.System(
        rng.uniform(1, 2, n - 1) / h, h, rng.uniform(0.5, 2.0, n) / n, rng.normal(size=n),
        np.array(stern), z, rng.uniform(0.2, 1.0, species),
    )  # fmt: skip
    u = np.cumsum(scale * rng.normal(size=n))
    return system, u, np.exp(rng.normal(scale=2.0, size=(species, n)))


@pytest.mark.parametrize("species", [1, 2, 3])
@pytest.mark.parametrize("n", [3, 4, 10, 11])
@pytest.mark.parametrize("store", [0.0, 7.0])
@pytest.mark.parametrize("stern", [(0.0, 0.0), (3.0, 0.0), (2.0, 5.0)])
def test_elimination_against_a_dense_solve(species, n, store, stern):
    system, u, c = random_problem(species, n, stern)
    k = species + 1
    a, h, w, f, r, z, d = system
    blocks = [np.empty((n, k, k)) for _ in range(3)]
    transport.assemble(
        u, c, c, store, 1.0, a, h, w, f, r, np.zeros(2), z, d, *blocks, np.empty((n, k))
    )
    dense = np.zeros((n * k, n * k))
    for i in range(n):
        for offset, block in zip((-1, 0, 1), blocks, strict=True):
            if 0 <= i + offset < n:
                j = i + offset
                dense[i * k : (i + 1) * k, j * k : (j + 1) * k] = block[i]
    right = np.random.default_rng(0).normal(size=(k, n))
    exact = np.linalg.solve(dense, right.T.ravel()).reshape(n, k).T
    factors = elimination.room(species, n)
    transport.slopes(u, c, h, z, d, factors.p, factors.q, factors.t)
    elimination.factorise(store, system, factors)
    elimination.solve(a, factors, right)
    np.testing.assert_allclose(right, exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_fluxes_with_and_without_the_series(scale):
    """One edge of a large drop sends all edges through the general formula: same numbers."""
    system, u, c = random_problem(2, 30, (0.0, 0.0), scale)
    found, exact = np.empty((2, 29)), np.empty((2, 29))
    transport.fluxes(u, c, system.h, system.z, system.d, found)
    for s, z in enumerate(system.z):
        for i in range(29):
            x = z * (u[i + 1] - u[i])
            here = transport.bernoulli(x) * c[s, i] - transport.bernoulli(-x) * c[s, i + 1]
            exact[s, i] = system.d[s] / system.h[i] * here
    size = np.abs(exact).max()
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-14 * size)


def test_the_balance_is_what_newton_differentiates():
    system, u, c = random_problem(3, 8, (2.0, 0.0))
    v, flow = np.array([0.3, u[-1]]), np.empty((3, 7))
    right, blocks = np.empty((4, 8)), [np.empty((8, 4, 4)) for _ in range(3)]
    transport.imbalance(u, c, v, system, flow, right)
    a, h, w, f, r, z, d = system
    other = np.empty((8, 4))
    transport.assemble(u, c, c, 1.0, 1.0, a, h, w, f, r, v, z, d, *blocks, other)
    np.testing.assert_allclose(right, other.T, rtol=1e-12, atol=1e-12 * np.abs(other).max())


def test_coefficients_of_rosenbrock_satisfy_their_conditions():
    """Tall and bushy trees of order 5; nodes and shifts are sums of the coefficients."""
    transform = np.linalg.inv(np.eye(8) / rosenbrock.GAMMA - rosenbrock.MIXED)
    plain = rosenbrock.ALPHA @ transform  # coefficients for stages that are slopes
    np.testing.assert_allclose(plain.sum(axis=1), rosenbrock.NODES, atol=1e-12)
    np.testing.assert_allclose(transform.sum(axis=1), rosenbrock.SHIFT, atol=1e-12)
    beta = plain + transform
    weights = (rosenbrock.ALPHA[7] + np.eye(8)[7]) @ transform
    np.testing.assert_allclose(weights, beta[7], atol=1e-12)  # stiffly accurate
    vector = np.ones(8)
    for order in range(1, 6):  # trees without branches: b beta^(p-1) 1 = 1/p!
        assert weights @ vector == pytest.approx(1.0 / np.prod(np.arange(1, order + 1)), abs=1e-9)
        vector = beta @ vector
    for order in range(2, 6):  # bushes: b nodes^(p-1) = 1/p
        assert weights @ rosenbrock.NODES ** (order - 1) == pytest.approx(1.0 / order, abs=1e-9)
    polynomial = np.polynomial.Polynomial([1.0, -2.0, 0.5, 3.0, -1.0, 0.7])
    slopes = rosenbrock.SLOPES @ polynomial(rosenbrock.NODES)
    np.testing.assert_allclose(slopes, polynomial.deriv()(np.array([0.0, 0.5, 1.0])), rtol=1e-9)


def test_a_step_is_never_longer_than_wanted():
    left, wanted, tau = integrator.step_of(np.array([0.0, 1.0, 0.7, 1.0, 0.0]))
    assert (left, wanted, tau) == (1.0, 0.7, 0.5)
    assert integrator.step_of(np.array([0.9, 1.0, 0.7, 1.0, 0.0]))[2] == pytest.approx(0.1)
    assert integrator.step_of(np.array([0.0, 1.0, 0.7, 0.2, 0.0]))[2] == 0.2
