"""Meshes: ends, order, symmetry, and nodes where they are asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse_solvers import grid


@settings(deadline=None)  # the first call compiles
@given(nodes=st.integers(11, 600), left=st.floats(-12, 2), right=st.floats(-12, 2))
def test_graded_meshes(nodes, left, right):
    x = grid.graded(nodes, np.array([0.0, 1.0]), np.array([10.0**left, 10.0**right]))
    assert x.size == nodes and x[0] == 0.0 and x[-1] == 1.0
    assert (np.diff(x) > 0).all()


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 0.1, 10.0])
def test_equal_ends_give_a_mirror_image(scale):
    x = grid.graded(201, np.array([0.0, 1.0]), np.array([scale, scale]))
    np.testing.assert_allclose(x, 1.0 - x[::-1], atol=1e-15)
    h = np.diff(x)
    assert h[0] < 0.3 * scale
    assert h[:100].max() / h[:100].min() < max(10.0, 1.0 / scale)


def test_every_interval_holds_the_same_share():
    x = np.linspace(0.0, 1.0, 2001)
    density = 1.0 + 50.0 * np.exp(-(((x[1:] - 0.3) / 0.02) ** 2))
    mesh = grid.place(x, density, 101)
    count = np.interp(mesh, x, np.concatenate([[0.0], np.cumsum(density * np.diff(x))]))
    np.testing.assert_allclose(np.diff(count), count[-1] / 100, rtol=1e-6)


def test_coordinates_stay_apart():
    """A density beyond what float64 can tell apart near 1 is cut."""
    x = np.concatenate([[0.0], 1.0 - np.geomspace(0.5, 1e-13, 300), [1.0]])
    density = 1.0 / (1.0 - 0.5 * (x[:-1] + x[1:]) + 1e-22) ** 2
    mesh = grid.place(x, density, 101)
    assert np.diff(mesh).min() > 1e-15


def test_weights_are_the_trapezoidal_rule():
    x = np.sort(np.random.default_rng(0).uniform(size=20))
    y = np.sin(x)
    assert grid.trapezoid_weights(np.diff(x)) @ y == pytest.approx(np.trapezoid(y, x))
