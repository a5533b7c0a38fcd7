"""Kernels against dense algebra, finite differences and SciPy."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnpfuse_solvers import kernels

ENDS = {"held": (0.0, 0.0), "stern": (30.0, 4.0), "mixed": (0.0, 9.0)}


def problem(rng, ends, nodes=24, z=(1.0, -2.0, 0.5)):
    x = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.02, 0.98, nodes - 2)]))
    h = np.diff(x) + 1e-3
    w = np.zeros(nodes)
    w[:-1] += h / 2
    w[1:] += h / 2
    w /= w.sum()
    return {
        "a": rng.uniform(0.5, 2.0, nodes - 1) / h,
        "w": w,
        "f": rng.normal(size=nodes),
        "r": np.array(ENDS[ends]),
        "v": np.array([1.5, -1.0]),
        "z": np.array(z),
        "amount": rng.uniform(0.5, 20.0, len(z)),
    }


def test_thomas_solves_what_a_dense_solver_solves():
    rng = np.random.default_rng(0)
    n = 40
    off = -rng.uniform(0.1, 1.0, n - 1)
    diagonal = rng.uniform(0.1, 1.0, n)
    diagonal[:-1] -= off
    diagonal[1:] -= off
    rhs = rng.normal(size=(3, n))
    dense = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
    expected = np.linalg.solve(dense, rhs.T).T
    kernels.thomas(off, diagonal, rhs)
    np.testing.assert_allclose(rhs, expected, rtol=1e-12)


def test_small_solve_against_numpy():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    matrix, right = root @ root.T + np.eye(4), rng.normal(size=4)
    expected = np.linalg.solve(matrix, right)
    kernels.small_solve(matrix.copy(), right)
    np.testing.assert_allclose(right, expected, rtol=1e-11)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("ends", ENDS)
def test_energy_gradient_and_newton_step(ends, closed):
    rng = np.random.default_rng(2)
    p = problem(rng, ends)
    u = rng.normal(size=24)
    c = np.empty((3, 24))
    value, _ = kernels.energy(u, *p.values(), closed, c)
    # J's Stern terms vanish where an end is held, in both versions, because r = 0 there.
    assert value == pytest.approx(naive.functional(u, *p.values(), closed), rel=1e-13)
    np.testing.assert_allclose(
        c, naive.concentrations(u, p["w"], p["z"], p["amount"], closed), rtol=1e-13
    )
    g = np.empty(24)
    kernels.imbalance(u, p["a"], p["w"], p["f"], p["r"], p["v"], p["z"], c, g)
    for i in range(24):
        up, down = u.copy(), u.copy()
        up[i] += 1e-5
        down[i] -= 1e-5
        slope = (
            naive.functional(up, *p.values(), closed) - naive.functional(down, *p.values(), closed)
        ) / 2e-5
        held = i in (0, 23) and p["r"][0 if i == 0 else 1] == 0.0
        assert g[i] == pytest.approx(0.0 if held else -slope, abs=1e-6)
    step = np.empty(24)
    kernels.newton_direction(p["a"], p["w"], p["r"], p["z"], c, closed, g, step)
    expected = naive.newton_step(u, g, p["a"], p["w"], p["r"], p["z"], p["amount"], closed)
    np.testing.assert_allclose(step, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("ends", ENDS)
def test_equilibrium_against_scipy_minimize(ends, closed):
    p = problem(np.random.default_rng(3), ends)
    start = np.linspace(*p["v"], 24)
    u = start.copy()
    _, _, _, _, status = kernels.equilibrium(u, *p.values(), closed, 1e-11, 100)
    assert status == kernels.CONVERGED
    np.testing.assert_allclose(u, naive.equilibrium(start, *p.values(), closed), atol=1e-6)


@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(-3, 5),
    volts=st.floats(0, 60),
    ends=st.sampled_from(sorted(ENDS)),
    closed=st.booleans(),
)
def test_newton_converges_from_a_straight_line_whatever_the_cell(seed, scale, volts, ends, closed):
    rng = np.random.default_rng(seed)
    p = problem(rng, ends, z=tuple(rng.choice([-3.0, -2.0, -1.0, -0.3, 0.7, 1.0, 2.0], 2)))
    p["amount"] *= 10.0**scale
    p["v"] = np.array([volts, -volts])
    if not closed:
        p["v"] /= 3.0
    u = np.linspace(*p["v"], 24)
    c, _, iterations, _, status = kernels.equilibrium(u, *p.values(), closed, 1e-9, 200)
    assert status == kernels.CONVERGED
    assert (c >= 0).all()
    if closed:
        np.testing.assert_allclose(c @ p["w"], p["amount"], rtol=1e-12)
