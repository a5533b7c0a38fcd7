"""Graded meshes on [0, 1]: nodes where the solution needs them."""

import numpy as np
from numpy.typing import NDArray

from pnpfuse_solvers.compiled import jit

Array = NDArray[np.float64]
# None of these calls a kernel of another file, nor is called by one.
_jit = jit(error_model="numpy", nogil=True)

# Below this spacing a coordinate near 1 has lost its digits.
FINEST = 4e-15
# Share of the nodes that is spread evenly, whatever the solution wants.
EVEN_SHARE = 0.05
# Share of the nodes that is spread over all species alike: rare ones have layers of their own.
RARE_SHARE = 0.15
LARGEST_EXPONENT = 600.0


@_jit
def walls(nodes: int, left: float, right: float) -> Array:
    """Return ``nodes`` points on [0, 1] whose spacing grows away from both ends.

    As `graded` with points at 0 and 1 only: there the integral of the density has an inverse.
    """
    most = nodes * FINEST
    left, right = max(left, most), max(right, most)
    mesh = np.empty(nodes)
    growth = np.log1p(1.0 / left) + np.log1p(1.0 / right)
    for i in range(nodes):
        # From the nearer end: positions near 1 keep their digits, mirrored cells their symmetry.
        j = min(i, nodes - 1 - i)
        near, far = (left, right) if i == j else (right, left)
        up = np.expm1(j / (nodes - 1) * growth)
        distance = near * (1.0 + far) * up / (1.0 + far + near * (1.0 + up))
        mesh[i] = distance if i == j else 1.0 - distance
    if nodes % 2 and left == right:
        mesh[nodes // 2] = 0.5
    return mesh


@_jit
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
    n = x.size
    density = density.copy()
    # A density beyond what coordinates near 1 can tell apart is cut; cutting lowers the total, so
    # a few rounds may be needed.
    while True:
        total = largest = 0.0
        for i in range(n - 1):
            total += density[i] * (x[i + 1] - x[i])
            largest = max(largest, density[i])
        most = total / (2 * nodes * FINEST)
        if not largest > most:
            break
        for i in range(n - 1):
            density[i] = min(density[i], 0.99 * most)
    before, after = np.zeros(n), np.zeros(n)  # integrals from the left end and to the right end
    for i in range(n - 1):
        before[i + 1] = before[i] + density[i] * (x[i + 1] - x[i])
    for i in range(n - 2, -1, -1):
        after[i] = after[i + 1] + density[i] * (x[i + 1] - x[i])
    mesh = np.empty(nodes)
    mesh[0], mesh[-1] = 0.0, 1.0
    # Placed from the nearer end: counts near 1 keep their digits, and the mesh for a
    # mirror-symmetric density is its own mirror.
    edge, back = 0, n - 2
    for j in range(1, (nodes - 1) // 2 + 1):
        share = j / (nodes - 1)
        wanted = share * before[n - 1]
        while edge < n - 2 and before[edge + 1] < wanted:
            edge += 1
        left = x[edge] + (wanted - before[edge]) / density[edge]
        wanted = share * after[0]
        while back > 0 and after[back] < wanted:
            back -= 1
        right = x[back + 1] - (wanted - after[back + 1]) / density[back]
        if 2 * j == nodes - 1:
            mesh[j] = 0.5 * (left + right)
        else:
            mesh[j] = left
            mesh[nodes - 1 - j] = right
    return mesh


@_jit
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
    # the point; it is sampled at distances that grow geometrically, too.
    steps = 100
    sampled = np.empty(2 + points.size * (2 * steps + 1))
    sampled[0], sampled[1] = 0.0, 1.0
    count = 2
    for p in range(points.size):
        first = max(0.02 * min(lengths[p], 1.0), FINEST)
        growth = (1.0 / first) ** (1.0 / (steps - 1))
        away = first
        sampled[count] = points[p]
        count += 1
        for _ in range(steps):
            for at in (points[p] - away, points[p] + away):
                if 0.0 < at < 1.0:
                    sampled[count] = at
                    count += 1
            away *= growth
    x = np.unique(sampled[:count])
    density = np.zeros(x.size - 1)
    for p in range(points.size):
        for i in range(x.size - 1):
            density[i] += 1.0 / (abs(0.5 * (x[i] + x[i + 1]) - points[p]) + lengths[p])
    return place(x, density, nodes)


@_jit
def ion_density(
    x: Array, u: Array, c: Array, f: Array, eps: Array, z: Array, closed: bool
) -> Array:
    """Wanted nodes per length on each edge (N-1,): where the scheme's error arises.

    Lumping charge at the nodes is the scheme's only error where the permittivity is constant: a
    quadrature error ``h^3 (G c)'' / 12`` an edge and species, G being the Green's function.

    In a closed cell the fixed amount carries that error from everywhere into the whole potential
    with the same weight, the mean of G over the species: the sum is least for spacings like the
    inverse cube root of ``c'' <G> + 2 c' G'``. Against a reservoir errors stay within the local
    length of the layer, ``(c'')^(-1/4)`` in these units, and spacings follow that length.

    Parameters
    ----------
    x, u, c, f : arrays (N,), (N,), (S, N), (N,)
        Nodes on [0, 1], potential, concentrations and fixed charge.
    eps : array (N-1,)
        Relative permittivity of the edges.
    z : array (S,)
        Valences.
    closed : bool
        Amounts are kept.
    """
    edges, species = x.size - 1, z.size
    h, slope, bend, green = np.empty(edges), np.empty(edges), np.empty(edges), np.empty(edges)
    wanted = np.zeros(edges)
    for i in range(edges):
        h[i] = x[i + 1] - x[i]
        slope[i] = (u[i + 1] - u[i]) / h[i]
        middle = 0.5 * (x[i] + x[i + 1])
        middle = min(middle, 1.0 - middle)
        charge, ions = f[i] + f[i + 1], 0.0
        for s in range(species):
            both = c[s, i] + c[s, i + 1]
            charge += z[s] * both
            ions += z[s] * z[s] * both
        bend[i] = -0.5 * charge / eps[i]
        green[i] = 1.0 / np.sqrt(0.5 * ions / eps[i] + 1.0 / (middle * middle))
    need, rare = np.empty(edges), np.zeros(edges)
    for s in range(species):
        total = weighted = 0.0
        for i in range(edges):
            amount = (c[s, i] + c[s, i + 1]) * h[i]
            total += amount
            weighted += amount * green[i]
        mean = weighted / total
        total = 0.0
        for i in range(edges):
            here = 0.5 * (c[s, i] + c[s, i + 1])
            steep = z[s] * slope[i]
            second = abs(steep * steep - z[s] * bend[i]) * here
            if closed:
                wanted[i] += abs(z[s]) * (second * mean + 2.0 * abs(steep) * here)
            else:
                wanted[i] += np.sqrt(np.sqrt(second))
            need[i] = np.sqrt(np.sqrt(second))
            total += need[i] * h[i]
        if total > 0.0:
            for i in range(edges):
                rare[i] += need[i] / total
    total = spread = 0.0
    for i in range(edges):
        if closed:
            wanted[i] = np.cbrt(wanted[i])
        total += wanted[i] * h[i]
        spread += rare[i] * h[i]
    for i in range(edges):
        share = wanted[i] / total if total > 0.0 else 1.0
        alike = rare[i] / spread if spread > 0.0 else 1.0
        wanted[i] = EVEN_SHARE + RARE_SHARE * alike + (1.0 - EVEN_SHARE - RARE_SHARE) * share
    return wanted


@_jit
def wall_layers(eps: float, fixed: float, v: Array, z: Array, amount: Array, closed: bool) -> Array:
    """Thinnest layer to expect at each wall, in cell lengths (2,)."""
    layers = np.empty(2)
    if closed:
        # The whole voltage at one wall, or all the ions' charge there: whichever is milder.
        drop = abs(v[1] - v[0])
        screening = charge = 0.0
        for s in range(z.size):
            screening += z[s] * z[s] * amount[s] * np.exp(min(abs(z[s]) * drop, LARGEST_EXPONENT))
            charge += abs(z[s]) * amount[s]
        crowded = eps / (np.abs(z).max() * (charge + abs(fixed) + drop))
        layers[:] = max(np.sqrt(eps / screening), crowded)
        return layers
    for end in range(2):
        screening = 1e-300
        for s in range(z.size):
            exponent = min(max(-z[s] * v[end], -LARGEST_EXPONENT), LARGEST_EXPONENT)
            screening += z[s] * z[s] * amount[s] * np.exp(exponent)
        layers[end] = np.sqrt(eps / screening)
    return layers


@_jit
def first_each(nodes, eps, fixed, v, z, amount, closed):  # type: ignore[no-untyped-def]
    """A mesh (C, nodes) for each of C cells that are not solved yet."""
    x = np.empty((eps.size, nodes))
    for k in range(eps.size):
        layers = wall_layers(eps[k], fixed[k], v[k], z[k], amount[k], closed)
        x[k] = walls(nodes, layers[0], layers[1])
    return x


@_jit
def after_each(nodes, x, u, c, eps, fixed, z, closed):  # type: ignore[no-untyped-def]
    """A mesh (C, nodes) for each of C cells, placed after a solution on ``x`` (C, N) on [0, 1]."""
    found = np.full((eps.size, nodes), np.nan)
    n = x.shape[1]
    for k in range(eps.size):
        if not np.isnan(u[k, 0]):
            e, f = np.full(n - 1, eps[k]), np.full(n, fixed[k])
            found[k] = place(x[k], ion_density(x[k], u[k], c[k], f, e, z[k], closed), nodes)
    return found


@_jit
def snapped(x: Array, points: Array) -> Array:
    """Return ``x`` with the nearest inner node moved onto each of ``points`` on (0, 1)."""
    moved = x.copy()
    free = np.ones(x.size, np.bool_)
    free[0] = free[-1] = False
    for point in points:
        near, gap = -1, np.inf
        for i in range(x.size):
            if free[i] and abs(moved[i] - point) < gap:
                near, gap = i, abs(moved[i] - point)
        if near > 0 and moved[near - 1] < point < moved[near + 1]:
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
