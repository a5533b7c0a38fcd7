"""How the closed cell of two species answers to its three numbers: implicit derivatives.

In units of the cell's length and of kB T/e, with L lengths in Debye lengths, electrodes at -U and
+U and valences +1 and -r of mean densities 1 and 1/r, the equilibrium is

    u'' = -k (f_1 - f_2),   f_1 = exp(-u)/A,   f_2 = exp(r u)/B,   k = L^2/(1 + r),
    A = int exp(-u) dx,     B = int exp(r u) dx,   u(0) = -U,   u(1) = U.

For each p of (L, U, r) the change du/dp solves the linearised problem, whose matrix is the Hessian
of ``kernels``: tridiagonal less a rank-one term a species. It is factorised once for all three, on
each of the halved meshes of the solver, and extrapolated over them as the potential itself is.
Between nodes potential and changes are Hermite's quintics: u'' is known from the equation.

Arrays are float64 and C-contiguous; a cell whose potential is NaN is left out.
"""

import numpy as np

from pnpfuse_solvers import compiled, interface, kernels
from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.exponential import exp

LENGTH, VOLTAGE, CHARGE = range(3)
# What `readings` reads off a cell.
POSITION, SHARED, SPECIFIC, WIDTH = range(4)
_FOUND, _LEVEL = interface.FOUND, interface.WIDTH_LEVEL
_jit = jit(error_model="numpy", nogil=True, fastmath={"contract"})
_nodes, _weights = np.polynomial.legendre.leggauss(4)
_GAUSS_X, _GAUSS_W = tuple(0.5 * (1.0 + _nodes)), tuple(0.5 * _weights)


@_jit
def _basis(t):
    """Weights at t on [0, 1] of values, slopes and bends: first node, last node."""
    cube = t * t * t
    last = cube * (10.0 + t * (6.0 * t - 15.0))
    tilt = t - cube * (6.0 + t * (3.0 * t - 8.0))
    end_tilt = cube * (t * (7.0 - 3.0 * t) - 4.0)
    bend = 0.5 * t * t * (1.0 - t * (3.0 + t * (t - 3.0)))
    end_bend = 0.5 * cube * (1.0 + t * (t - 2.0))
    return 1.0 - last, tilt, bend, last, end_tilt, end_bend


@_jit
def _tilts(t):
    """Derivatives of `_basis`."""
    square = t * t
    last = 30.0 * square * (1.0 + t * (t - 2.0))
    tilt = 1.0 - square * (18.0 + t * (15.0 * t - 32.0))
    end_tilt = square * (t * (28.0 - 15.0 * t) - 12.0)
    bend = t * (1.0 - t * (4.5 + t * (2.5 * t - 6.0)))
    end_bend = square * (1.5 + t * (2.5 * t - 4.0))
    return -last, tilt, bend, last, end_tilt, end_bend


@_jit
def _quintic(basis, h, i, u, s, k):
    """Hermite's quintic on edge i, of width h, from values, slopes and bends at the nodes."""
    first, tilt, bend, last, end_tilt, end_bend = basis
    return (first * u[i] + last * u[i + 1]) + h * (
        (tilt * s[i] + end_tilt * s[i + 1]) + h * (bend * k[i] + end_bend * k[i + 1])
    )


@_jit
def _crossing(x, u, s, k, level):
    """Edge, t on [0, 1] and slope where the rising potential is ``level``; edge -1: nowhere."""
    low, high = 0, x.size - 1
    if not u[low] < level < u[high]:
        return -1, 0.0, np.nan
    while high - low > 1:
        middle = (low + high) // 2
        if u[middle] <= level:
            low = middle
        else:
            high = middle
    h = x[high] - x[low]
    left, right, t = 0.0, 1.0, (level - u[low]) / (u[high] - u[low])
    slope = np.nan
    for _ in range(60):
        gap = _quintic(_basis(t), h, low, u, s, k) - level
        slope = _quintic(_tilts(t), h, low, u, s, k)  # per edge
        if gap > 0.0:
            right = t
        else:
            left = t
        step = gap / slope
        new = t - step
        if not left < new < right:
            new = 0.5 * (left + right)
        moved = abs(new - t)
        t = new
        if moved < 1e-15:
            break
    return low, t, slope / h


@_jit
def _refined(x, u, s, k, parts):
    """Spacings and potential on a mesh with ``parts`` edges for one."""
    n = x.size
    h, v = np.empty((n - 1) * parts), np.empty((n - 1) * parts + 1)
    for j in range(parts):
        basis = _basis(j / parts)
        for i in range(n - 1):
            edge = x[i + 1] - x[i]
            v[i * parts + j] = _quintic(basis, edge, i, u, s, k)
            h[i * parts + j] = edge / parts
    v[-1] = u[-1]
    return h, v


def _linearised(stamp):
    @_jit
    def linearised(h, v, q, p, length, r):
        """Changes (6, N) of u with (L, U, r), and what solving for them took, on one mesh.

        ``h`` (N-1,) spacings, ``v`` (N,) potential, ``q`` and ``p`` (N,) the charge of either
        species in each node's box. Returns the changes and the mean of u over the second species.
        """
        _ = stamp
        m = v.size
        amount = length * length / (1.0 + r)
        mean = kernels.dot(p, v) / amount
        off, diagonal = np.empty(m - 1), np.empty(m)
        rhs = np.empty((6, m))  # three parameters, walls, both species
        for i in range(m - 1):
            off[i] = -1.0 / h[i]
        first, last = off[0], off[m - 2]
        by_length, by_charge = 2.0 / length, 1.0 / (1.0 + r)
        by_first, by_second = (q[m - 1] - q[0]) / amount, r * (p[m - 1] - p[0]) / amount
        for i in range(1, m - 1):
            diagonal[i] = q[i] + r * p[i] - off[i - 1] - off[i]
            rhs[LENGTH, i] = by_length * (q[i] - p[i])
            rhs[VOLTAGE, i] = by_first * q[i] + by_second * p[i]
            rhs[CHARGE, i] = by_charge * (p[i] - q[i]) + p[i] * (mean - v[i])
            rhs[3, i], rhs[4, i], rhs[5, i] = 0.0, q[i], p[i]
        rhs[VOLTAGE, 1] += first
        rhs[VOLTAGE, m - 2] -= last
        rhs[3, 1] -= first
        rhs[3, m - 2] -= last
        rhs[:, 0] = rhs[:, m - 1] = 0.0  # held
        diagonal[0] = diagonal[m - 1] = 1.0
        off[0] = off[m - 2] = 0.0
        kernels.thomas(off, diagonal, rhs)
        # The two rank-one terms. Woodbury's matrix ((at_q + r both, -both), (-r both, at_p + both))
        # and its determinant are summed from positive terms as in ``kernels.newton_direction``.
        both = kernels.dot(q, rhs[5])
        at_q = q[0] + q[m - 1] + kernels.dot(q, rhs[3])
        at_p = p[0] + p[m - 1] + kernels.dot(p, rhs[3])
        whole = at_q * at_p + both * (at_q + r * at_p)
        for a in range(3):
            one, two = kernels.dot(q, rhs[a]), r * kernels.dot(p, rhs[a])
            by_q = (one * (at_p + both) + both * two) / whole
            by_p = ((at_q + r * both) * two + r * both * one) / whole
            for i in range(m):
                rhs[a, i] += by_q * rhs[4, i] + by_p * rhs[5, i]
        rhs[VOLTAGE, 0], rhs[VOLTAGE, m - 1] = -1.0, 1.0
        return rhs, mean

    return linearised


def _tangents(stamp):
    @_jit
    def tangents(x, u, s, k, length, r, weights, du, ds, mass):
        """Fill the changes of u, u' (3, N) and of ln A, ln B (2, 3) with (L, U, r).

        ``weights`` (M,) are those of Richardson's extrapolation over M halved meshes.
        """
        _ = stamp
        n = x.size
        du[:], ds[:], mass[:] = 0.0, 0.0, 0.0
        amount = length * length / (1.0 + r)
        skip = 2 ** (weights.size - 1)
        fine, finest = _refined(x, u, s, k, skip)
        f, g = np.empty(finest.size), np.empty(finest.size)
        for i in range(finest.size):
            f[i], g[i] = exp(u[0] - finest[i]), exp(r * (finest[i] - u[-1]))
        for level in range(weights.size):
            weight, parts = weights[level], 2**level
            m = (n - 1) * parts + 1
            h, w = np.empty(m - 1), np.empty(m)
            v, q, p = np.empty(m), np.empty(m), np.empty(m)
            for i in range(m - 1):
                h[i] = skip * fine[i * skip]
            w[0], w[m - 1] = 0.5 * h[0], 0.5 * h[m - 2]
            for i in range(1, m - 1):
                w[i] = 0.5 * (h[i - 1] + h[i])
            for i in range(m):
                v[i], q[i], p[i] = finest[i * skip], f[i * skip], g[i * skip]
            first, second = amount / kernels.dot(w, q), amount / kernels.dot(w, p)
            for i in range(m):
                q[i] *= first * w[i]
                p[i] *= second * w[i]
            change, mean = linearised(h, v, q, p, length, r)
            for a in range(3):
                row = change[a]
                here = kernels.dot(q, row) / amount
                there = kernels.dot(p, row) / amount
                grown = 2.0 / length if a == LENGTH else -1.0 / (1.0 + r) if a == CHARGE else 0.0
                turn = 1.0 if a == CHARGE else 0.0
                mass[0, a] -= weight * here
                mass[1, a] += weight * (r * there + turn * mean)
                more, less = grown + here, grown - r * there - turn * mean
                to_u, to_slope = du[a], ds[a]
                # The slope of the edge before a node, or after the first, and the charge between.
                for i in range(n):
                    j = i * parts
                    e = max(j - 1, 0)
                    charge = q[j] * (more - row[j]) - p[j] * (less + r * row[j] + turn * v[j])
                    half = (0.5 if i == 0 else -0.5) * h[e] * charge / w[j]
                    to_u[i] += weight * row[j]
                    to_slope[i] += weight * ((row[e + 1] - row[e]) / h[e] + half)
            skip //= 2

    return tangents


linearised = _linearised(compiled.stamp(kernels))
tangents = _tangents(compiled.stamp(kernels))


@_jit
def _integral(x, edges, piece, rate, shift, state, turn, change, d_shift, out):
    """Integral of f = exp(rate u - shift) over ``piece`` of [0, 1] of each of some edges.

    ``out`` (K,) is added its changes with K parameters, of which that with the charge ratio has
    ``turn`` as the change of the rate.
    """
    u, s, k = state
    du, ds, dk = change
    first, last = edges
    f, here = np.empty(x.size), np.empty(x.size)
    total = 0.0
    for g in range(4):
        basis = _basis(piece[0] + (piece[1] - piece[0]) * _GAUSS_X[g])
        weight = (piece[1] - piece[0]) * _GAUSS_W[g]
        for i in range(first, last):
            h = x[i + 1] - x[i]
            # The potential rises: on an edge that is not resolved a quintic may not know it.
            here[i] = min(max(_quintic(basis, h, i, u, s, k), u[i]), u[i + 1])
            f[i] = weight * h * exp(rate * here[i] - shift)
            total += f[i]
        for a in range(out.size):
            value, tilt, bend = du[a], ds[a], dk[a]
            for i in range(first, last):
                moved = rate * _quintic(basis, x[i + 1] - x[i], i, value, tilt, bend) - d_shift[a]
                out[a] += f[i] * (moved + turn * here[i] if a == CHARGE else moved)
    return total


@_jit
def _bend_changes(u, du, mass, length, r, d_mass, dk):
    """Fill ``dk`` (3, N) with the changes of u''."""
    scale = length * length / (1.0 + r)
    f, g = np.empty(u.size), np.empty(u.size)
    for i in range(u.size):
        f[i], g[i] = scale * exp(-u[i] - mass[0]), scale * exp(r * u[i] - mass[1])
    for a in range(du.shape[0]):
        grown = 2.0 / length if a == LENGTH else -1.0 / (1.0 + r) if a == CHARGE else 0.0
        turn = 1.0 if a == CHARGE else 0.0
        by_f, by_g = grown - d_mass[0, a], grown - d_mass[1, a]
        row, to = du[a], dk[a]
        for i in range(u.size):
            to[i] = g[i] * (by_g + r * row[i] + turn * u[i]) - f[i] * (by_f - row[i])


@_jit
def readings(x, state, mass, r, code, split, change, d_mass, values, out):
    """Fill ``values`` (4,): interface, share of either species on its side, width.

    ``out`` (4, K) takes their changes with K = 3 parameters, or none for K = 0. Where the solver
    has determined no interface (``code``) the cell is split at ``split``, which is held.
    """
    u, s, k = state
    du, ds, dk = change
    count = out.shape[1]
    values[:], out[:] = np.nan, 0.0
    middle = (np.log(r) - mass[0] + mass[1]) / (1.0 + r)
    d_middle = np.zeros(count)
    for a in range(count):
        turn = (1.0 / r - middle) if a == CHARGE else 0.0
        d_middle[a] = (turn - d_mass[0, a] + d_mass[1, a]) / (1.0 + r)
    reach = _LEVEL / (1.0 + r)
    if code == _FOUND:
        ends, d_ends = np.array([0.0, 1.0]), np.zeros((2, count))
        for side in range(-1, 2):
            level = middle + side * reach
            edge, t, slope = _crossing(x, u, s, k, level)
            if edge < 0:
                continue  # cut at the electrode
            h = x[edge + 1] - x[edge]
            basis = _basis(t)
            moved = np.empty(count)
            for a in range(count):
                further = -side * reach / (1.0 + r) if a == CHARGE else 0.0
                there = _quintic(basis, h, edge, du[a], ds[a], dk[a])
                moved[a] = (d_middle[a] + further - there) / slope
            if side == 0:
                values[POSITION], out[POSITION] = x[edge] + t * h, moved
            else:
                ends[(side + 1) // 2], d_ends[(side + 1) // 2] = x[edge] + t * h, moved
        values[WIDTH], out[WIDTH] = ends[1] - ends[0], d_ends[1] - d_ends[0]
        split = values[POSITION]
    if not 0.0 < split < 1.0:
        return
    edge = min(max(np.searchsorted(x, split, side="right") - 1, 0), x.size - 2)
    h = x[edge + 1] - x[edge]
    t = (split - x[edge]) / h
    at = _quintic(_basis(t), h, edge, u, s, k)
    here, rest = (edge, edge + 1), (edge + 1, x.size - 1)
    lost = np.zeros(count)
    total = _integral(x, here, (t, 1.0), -1.0, mass[0], state, 0.0, change, d_mass[0], lost)
    total += _integral(x, rest, (0.0, 1.0), -1.0, mass[0], state, 0.0, change, d_mass[0], lost)
    values[SHARED] = 1.0 - total
    out[SHARED] = exp(-at - mass[0]) * out[POSITION] - lost
    lost[:] = 0.0
    total = _integral(x, here, (0.0, t), r, mass[1], state, 1.0, change, d_mass[1], lost)
    total += _integral(x, (0, edge), (0.0, 1.0), r, mass[1], state, 1.0, change, d_mass[1], lost)
    values[SPECIFIC] = 1.0 - total
    out[SPECIFIC] = -exp(r * at - mass[1]) * out[POSITION] - lost


@_jit
def bends_each(u, mass, length, r):
    """u'' (C, N) of C cells."""
    k = np.full(u.shape, np.nan)
    for c in range(length.size):
        scale = length[c] * length[c] / (1.0 + r[c])
        for i in range(u.shape[1]):
            k[c, i] = exp(r[c] * u[c, i] - mass[c, 1]) - exp(-u[c, i] - mass[c, 0])
            k[c, i] *= scale
    return k


@_jit
def readings_each(x, u, s, k, mass, r, code, split, change, d_mass):
    """`readings` of C cells: values (C, 4) and their changes (C, 4, K)."""
    du, ds, dk = change
    values, out = np.full((r.size, 4), np.nan), np.zeros((r.size, 4, du.shape[1]))
    for c in range(r.size):
        if not np.isnan(mass[c, 0]):
            readings(
                x[c], (u[c], s[c], k[c]), mass[c], r[c], code[c], split[c],
                (du[c], ds[c], dk[c]), d_mass[c], values[c], out[c],
            )  # fmt: skip
    return values, out


@_jit
def balances_each(x, u, s, k, mass, r, change, d_mass, at):
    """ln of first over second species of C cells at ``at`` (C, P).

    Returns values (C, P), slopes (C, P) and the changes (C, K, P) with K = 3 parameters or none.
    """
    du, ds, dk = change
    values, slopes = np.full(at.shape, np.nan), np.zeros(at.shape)
    out = np.zeros((r.size, du.shape[1], at.shape[1]))
    for c in range(r.size):
        if np.isnan(mass[c, 0]):
            continue
        nodes, ratio = x[c], r[c]
        for j in range(at.shape[1]):
            place = at[c, j]
            edge = min(max(np.searchsorted(nodes, place, side="right") - 1, 0), nodes.size - 2)
            h = nodes[edge + 1] - nodes[edge]
            t = (place - nodes[edge]) / h
            basis = _basis(t)
            here = _quintic(basis, h, edge, u[c], s[c], k[c])
            here = min(max(here, u[c, edge]), u[c, edge + 1])
            values[c, j] = np.log(ratio) - mass[c, 0] + mass[c, 1] - (1.0 + ratio) * here
            tilt = _quintic(_tilts(t), h, edge, u[c], s[c], k[c])
            slopes[c, j] = -(1.0 + ratio) / h * tilt
            for a in range(out.shape[1]):
                moved = (1.0 + ratio) * _quintic(basis, h, edge, du[c, a], ds[c, a], dk[c, a])
                turn = 1.0 / ratio - here if a == CHARGE else 0.0
                out[c, a, j] = turn - d_mass[c, 0, a] + d_mass[c, 1, a] - moved
    return values, slopes, out


def _tangents_each(stamp):
    @_jit
    def tangents_each(x, u, s, k, mass, length, r, weights):
        """Changes of C cells: u, u', u'' (C, 3, N), ln A and ln B (C, 2, 3); 0 where left out."""
        _ = stamp
        cells, n = x.shape
        du, ds, dk = np.zeros((cells, 3, n)), np.zeros((cells, 3, n)), np.zeros((cells, 3, n))
        d_mass = np.zeros((cells, 2, 3))
        for c in range(cells):
            if np.isnan(mass[c, 0]):
                continue
            tangents(x[c], u[c], s[c], k[c], length[c], r[c], weights, du[c], ds[c], d_mass[c])
            _bend_changes(u[c], du[c], mass[c], length[c], r[c], d_mass[c], dk[c])
        return (du, ds, dk), d_mass

    return tangents_each


tangents_each = _tangents_each(compiled.stamp(kernels))
