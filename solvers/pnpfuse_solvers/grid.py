"""Graded meshes on [0, 1]: nodes where the solution needs them."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Below this spacing a coordinate near 1 has lost its digits.
FINEST = 4e-15


def graded(nodes: int, points: Array, lengths: Array) -> Array:
    """Return ``nodes`` points on [0, 1] whose spacing grows away from given points.

    Parameters
    ----------
    nodes : int
        Number of nodes, at least 3.
    points : array (P,)
        Where something thin is, on [0, 1]; the ends are usually among them.
    lengths : array (P,)
        Length to resolve at each point, in units of the interval. Spacing there is about a tenth
        of it and grows geometrically away; lengths of the order of 1 or above give an even mesh.
    """
    # The density of nodes 1/(d + length) makes the spacing proportional to the distance d from
    # the point; its integral is a logarithm, so the nodes come from a smooth monotone map.
    pieces = [np.array([0.0, 1.0])]
    for point, length in zip(points, lengths, strict=True):
        away = np.concatenate([[0.0], np.geomspace(max(0.02 * min(length, 1.0), FINEST), 1.0, 500)])
        pieces += [point - away, point + away]
    joined = np.concatenate(pieces)
    x = np.unique(joined[(joined >= 0.0) & (joined <= 1.0)])
    middle = 0.5 * (x[:-1] + x[1:])
    density = (1.0 / (np.abs(middle[:, None] - points) + lengths)).sum(axis=1)
    return place(x, density, nodes)


def place(x: Array, density: Array, nodes: int) -> Array:
    """Return ``nodes`` points on [0, 1] spaced inversely to a density given on the edges of ``x``.

    Parameters
    ----------
    x : array (N,)
        Increasing points from 0 to 1.
    density : array (N-1,)
        Wanted nodes per unit length on each edge of ``x``, up to a factor; positive.
    nodes : int
        Number of nodes wanted, at least 3.

    Notes
    -----
    de Boor's equidistribution: every new interval holds the same integral of ``density``.
    """
    length = np.diff(x)
    share = density * length
    # A density beyond what coordinates near 1 can tell apart is cut; cutting lowers the total, so
    # a few rounds may be needed.
    while density.max() > (most := share.sum() / (2 * nodes * FINEST)):
        density = np.minimum(density, 0.99 * most)
        share = density * length
    level = np.linspace(0.0, 1.0, nodes)
    # Placed from the nearer end: counts near 1 keep their digits, and the mesh for a
    # mirror-symmetric density is its own mirror.
    from_left = _invert(level, share, x)
    from_right = (1.0 - _invert(level, share[::-1], (1.0 - x)[::-1]))[::-1]
    mesh = np.where(level < 0.5, from_left, from_right)
    if nodes % 2:
        mesh[nodes // 2] = 0.5 * (from_left[nodes // 2] + from_right[nodes // 2])
    mesh[0], mesh[-1] = 0.0, 1.0
    return mesh


def _invert(level: Array, share: Array, x: Array) -> Array:
    count = np.concatenate([[0.0], np.cumsum(share)])
    return np.interp(level, count / count[-1], x)


def snapped(x: Array, points: Array) -> Array:
    """Return ``x`` with the nearest inner node moved onto each of ``points`` on (0, 1)."""
    moved = x.copy()
    free = np.ones(x.size, bool)
    free[[0, -1]] = False
    for point in points:
        if not free.any():
            break
        near = int(np.where(free, np.abs(moved - point), np.inf).argmin())
        if moved[near - 1] < point < moved[near + 1]:
            moved[near] = point
            free[near] = False
    return moved


def halved(x: Array) -> Array:
    """Return the points ``x`` (N,) and the middles between them: (2 N - 1,)."""
    finer = np.empty(2 * x.size - 1)
    finer[::2] = x
    finer[1::2] = 0.5 * (x[:-1] + x[1:])
    return finer


def trapezoid_weights(h: Array) -> Array:
    """Return the trapezoidal weights (N,) for spacings ``h`` (N-1,): the length of each box."""
    w = np.zeros(h.size + 1)
    w[:-1] += 0.5 * h
    w[1:] += 0.5 * h
    return w
