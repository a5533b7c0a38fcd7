"""Compiled elimination of the block tridiagonal Jacobian of coupled fluxes.

It calls nothing outside this file. The unknowns of a node are ``(u, c_1 .. c_S)``, K in all. On the
edge between the nodes i and i+1 the flux of species s changes by

    dJ = p dc_i - q dc_{i+1} + t (du_{i+1} - du_i)

so that of a block that couples two nodes only its diagonal and its first column are not 0. Nodes
are eliminated from both ends up to the middle one, blocks are built where they are eliminated, and
inverted without exchange of rows: the matrix is that of a diffusion with screening, whose pivots
are positive.
"""

from typing import NamedTuple

import numpy as np

from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.grid import Array

_jit = jit(error_model="numpy")
# Calls cost more than the few operations on a block: every array that is passed is counted.
_inline = jit(error_model="numpy", inline="always")


class System(NamedTuple):
    """The equations on one mesh (see ``Discrete``), with spacings and relative diffusivities."""

    a: Array  # (N-1,)
    h: Array  # (N-1,)
    w: Array  # (N,)
    f: Array  # (N,)
    r: Array  # (2,)
    z: Array  # (S,)
    d: Array  # (S,)


class Factors(NamedTuple):
    """A factorised Jacobian, or the room for one."""

    p: Array  # (S, N-1)
    q: Array  # (S, N-1)
    t: Array  # (S, N-1)
    x: Array  # (N, K, K) inverses of the blocks that are left of the nodes
    gain: Array  # (N, K, K) inverses times the coupling to the next node


@_jit
def room(species, n):
    """Return empty ``Factors``."""
    k = species + 1
    p, q, t = np.empty((species, n - 1)), np.empty((species, n - 1)), np.empty((species, n - 1))
    return Factors(p, q, t, np.empty((n, k, k)), np.empty((n, k, k)))


@_jit
def width(x, few):
    """K; the compiler knows it where ``few`` is a tuple of K numbers, and unrolls loops."""
    return len(few) if len(few) > 0 else x.shape[1]


@_inline
def block(i, store, p, q, t, system, x, few):
    """Fill ``x[i]``, a node's own block of the Jacobian of ``store w c`` + outflow and Gauss's law.

    Where ``store`` is 0 concentrations are held at the ends; potentials are held where r is 0.
    """
    a, w, z, r = system.a, system.w, system.z, system.r
    k = width(x, few)
    last = w.size - 1
    for m in range(k):
        for s in range(k):
            x[i, m, s] = 0.0
    for s in range(1, k):
        x[i, 0, s] = -w[i] * z[s - 1]
        x[i, s, s] = store * w[i]
    if i < last:
        x[i, 0, 0] += a[i]
        for s in range(1, k):
            x[i, s, 0] -= t[s - 1, i]
            x[i, s, s] += p[s - 1, i]
    if i > 0:
        x[i, 0, 0] += a[i - 1]
        for s in range(1, k):
            x[i, s, 0] -= t[s - 1, i - 1]
            x[i, s, s] += q[s - 1, i - 1]
    if i == 0 or i == last:
        end = 0 if i == 0 else 1
        x[i, 0, 0] += r[end]
        first = 0 if r[end] == 0.0 else 1
        for m in range(first, k if store == 0.0 else 1):
            for s in range(k):
                x[i, m, s] = 1.0 if s == m else 0.0


@_inline
def eliminate(i, j, e, out, t, a, gain, x, few):
    """Take the node j before i, on the other side of edge e, out of the block of i."""
    k = width(x, few)
    for s in range(1, k):
        own, tilt = out[s - 1, e], t[s - 1, e]
        for m in range(k):
            x[i, s, m] += own * gain[j, s, m] - tilt * gain[j, 0, m]
    for m in range(k):
        x[i, 0, m] += a[e] * gain[j, 0, m]


@_inline
def invert(i, x, few):
    """Invert a block in place, concentrations first: their pivots are positive."""
    k = width(x, few)
    for m in range(1, k + 1):
        c = m % k
        pivot = 1.0 / x[i, c, c]
        x[i, c, c] = 1.0
        for j in range(k):
            x[i, c, j] *= pivot
        for s in range(k):
            if s != c:
                factor = x[i, s, c]
                x[i, s, c] = 0.0
                for j in range(k):
                    x[i, s, j] -= factor * x[i, c, j]


@_inline
def onward(i, e, into, t, a, free, x, gain, few):
    """Fill ``gain[i]``: the inverse block times the coupling to the next node, through edge e.

    ``free`` says of the potential and of the concentrations of i whether they have an equation.
    """
    k = width(x, few)
    for m in range(k):
        gain[i, m, 0] = -free[0] * a[e] * x[i, m, 0]
        for s in range(1, k):
            part = free[1] * x[i, m, s]
            gain[i, m, 0] += part * t[s - 1, e]
            gain[i, m, s] = -part * into[s - 1, e]


@_jit
def chain(side, store, factors, system, few):
    """Eliminate the nodes from one end up to the middle."""
    p, q, t, x, gain = factors
    a = system.a
    n = system.w.size
    middle = n // 2
    out, into = (p, q) if side == 0 else (q, p)
    free = (1.0 if system.r[side] > 0.0 else 0.0, 1.0 if store != 0.0 else 0.0)
    for j in range(middle if side == 0 else n - 1 - middle):
        i = j if side == 0 else n - 1 - j
        back, ahead = (i - 1, i) if side == 0 else (i, i - 1)
        block(i, store, p, q, t, system, x, few)
        if j > 0:
            eliminate(i, i - 1 if side == 0 else i + 1, back, out, t, a, gain, x, few)
        invert(i, x, few)
        onward(i, ahead, into, t, a, free, x, gain, few)
        free = (1.0, 1.0)
        if x.shape[1] == 3:
            chain_of_two(side, store, out, into, t, system, x, gain)
            break


@_jit
def halves(store, factors, system, few):
    """Eliminate both halves and invert the block of the middle node."""
    chain(0, store, factors, system, few)
    chain(1, store, factors, system, few)
    p, q, t, x, gain = factors
    i = system.w.size // 2
    block(i, store, p, q, t, system, x, few)
    eliminate(i, i - 1, i - 1, p, t, system.a, gain, x, few)
    eliminate(i, i + 1, i, q, t, system.a, gain, x, few)
    invert(i, x, few)


@_jit
def chain_of_two(side, store, out, into, t, system, x, gain):
    """Go on with ``chain`` for two species, all in registers."""
    a, w = system.a, system.w
    n = w.size
    middle = n // 2
    y, z = system.z
    i = 0 if side == 0 else n - 1
    g = gain[i]
    g00, g01, g02 = g[0, 0], g[0, 1], g[0, 2]
    g10, g11, g12 = g[1, 0], g[1, 1], g[1, 2]
    g20, g21, g22 = g[2, 0], g[2, 1], g[2, 2]
    for j in range(1, middle if side == 0 else n - 1 - middle):
        i = j if side == 0 else n - 1 - j
        b, e = (i - 1, i) if side == 0 else (i, i - 1)
        m = store * w[i]
        p, q, s, t1, t2 = out[0, b], out[1, b], a[b], t[0, b], t[1, b]
        x00, x01, x02 = a[e] + s + s * g00, s * g01 - w[i] * y, s * g02 - w[i] * z
        x10, x11, x12 = p * g10 - t1 * g00, m + p * g11 - t1 * g01, p * g12 - t1 * g02
        x20, x21, x22 = q * g20 - t2 * g00, q * g21 - t2 * g01, m + q * g22 - t2 * g02
        x10, x20 = x10 - t1 - t[0, e], x20 - t2 - t[1, e]
        x11, x22 = x11 + out[0, e] + into[0, b], x22 + out[1, e] + into[1, b]
        i00, i01, i02 = x11 * x22 - x12 * x21, x02 * x21 - x01 * x22, x01 * x12 - x02 * x11
        i10, i11, i12 = x12 * x20 - x10 * x22, x00 * x22 - x02 * x20, x02 * x10 - x00 * x12
        i20, i21, i22 = x10 * x21 - x11 * x20, x01 * x20 - x00 * x21, x00 * x11 - x01 * x10
        d = 1.0 / (x00 * i00 + x01 * i10 + x02 * i20)
        i00, i01, i02 = d * i00, d * i01, d * i02
        i10, i11, i12 = d * i10, d * i11, d * i12
        i20, i21, i22 = d * i20, d * i21, d * i22
        p, q, s, t1, t2 = into[0, e], into[1, e], a[e], t[0, e], t[1, e]
        g00, g01, g02 = i01 * t1 + i02 * t2 - i00 * s, -i01 * p, -i02 * q
        g10, g11, g12 = i11 * t1 + i12 * t2 - i10 * s, -i11 * p, -i12 * q
        g20, g21, g22 = i21 * t1 + i22 * t2 - i20 * s, -i21 * p, -i22 * q
        x[i, 0, 0], x[i, 0, 1], x[i, 0, 2] = i00, i01, i02
        x[i, 1, 0], x[i, 1, 1], x[i, 1, 2] = i10, i11, i12
        x[i, 2, 0], x[i, 2, 1], x[i, 2, 2] = i20, i21, i22
        gain[i, 0, 0], gain[i, 0, 1], gain[i, 0, 2] = g00, g01, g02
        gain[i, 1, 0], gain[i, 1, 1], gain[i, 1, 2] = g10, g11, g12
        gain[i, 2, 0], gain[i, 2, 1], gain[i, 2, 2] = g20, g21, g22


@_jit
def factorise(store, system, factors):
    """Fill ``x`` and ``gain`` of ``factors`` from its p, q, t.

    Concentrations are held at the ends where ``store`` is 0, potentials where r is 0.
    """
    k = factors.x.shape[1]
    if k == 2:
        halves(store, factors, system, (0, 0))
    elif k == 4:
        halves(store, factors, system, (0, 0, 0, 0))
    elif k == 5:
        halves(store, factors, system, (0, 0, 0, 0, 0))
    else:
        halves(store, factors, system, ())


@_jit
def receive(y, i, j, e, out, t, a, k):
    """Take what node j passes on through edge e to the right-hand side of node i."""
    lead = y[0, j]
    y[0, i] += a[e] * lead
    for s in range(1, k):
        y[s, i] += out[s - 1, e] * y[s, j] - t[s - 1, e] * lead


@_jit
def apply(x, i, y, own, k):
    """Multiply the right-hand side of node i by its inverse block; ``own`` (K,) is room."""
    for m in range(k):
        total = 0.0
        for s in range(k):
            total += x[i, m, s] * y[s, i]
        own[m] = total
    for m in range(k):
        y[m, i] = own[m]


@_jit
def back(y, i, j, gain, k):
    """Take out of node i's solution what it gets from node j."""
    for m in range(k):
        total = y[m, i]
        for s in range(k):
            total -= gain[i, m, s] * y[s, j]
        y[m, i] = total


@_jit
def sweep(a, factors, y, few):
    """Solve in place, both halves in one loop: neither waits for the other."""
    p, q, t, x, gain = factors
    k = width(x, few)
    n = y.shape[1]
    last, middle = n - 1, n // 2
    own, other = np.empty(k), np.empty(k)
    for j in range(middle):
        i = last - j
        if j > 0:
            receive(y, j, j - 1, j - 1, p, t, a, k)
        apply(x, j, y, own, k)
        if i > middle:
            if j > 0:
                receive(y, i, i + 1, i, q, t, a, k)
            apply(x, i, y, other, k)
    receive(y, middle, middle - 1, middle - 1, p, t, a, k)
    receive(y, middle, middle + 1, middle, q, t, a, k)
    apply(x, middle, y, own, k)
    for j in range(middle - 1, -1, -1):
        back(y, j, j + 1, gain, k)
        if last - j > middle:
            back(y, last - j, last - j - 1, gain, k)


@_jit
def solve(a, factors, y):
    """Solve in place for a right-hand side ``y`` (K, N) with what ``factorise`` left."""
    k = y.shape[0]
    if k == 3:
        solve_for_two(a, factors, y)
    elif k == 2:
        sweep(a, factors, y, (0, 0))
    elif k == 4:
        sweep(a, factors, y, (0, 0, 0, 0))
    elif k == 5:
        sweep(a, factors, y, (0, 0, 0, 0, 0))
    else:
        sweep(a, factors, y, ())


@_jit
def times(x, i, b0, b1, b2, y):
    """Store and return the product of a block with a vector."""
    v0 = x[i, 0, 0] * b0 + x[i, 0, 1] * b1 + x[i, 0, 2] * b2
    v1 = x[i, 1, 0] * b0 + x[i, 1, 1] * b1 + x[i, 1, 2] * b2
    v2 = x[i, 2, 0] * b0 + x[i, 2, 1] * b1 + x[i, 2, 2] * b2
    y[0, i], y[1, i], y[2, i] = v0, v1, v2
    return v0, v1, v2


@_jit
def less(gain, i, v0, v1, v2, y):
    """Store and return a solution less what its block passes on of the next one."""
    b0 = y[0, i] - gain[i, 0, 0] * v0 - gain[i, 0, 1] * v1 - gain[i, 0, 2] * v2
    b1 = y[1, i] - gain[i, 1, 0] * v0 - gain[i, 1, 1] * v1 - gain[i, 1, 2] * v2
    b2 = y[2, i] - gain[i, 2, 0] * v0 - gain[i, 2, 1] * v1 - gain[i, 2, 2] * v2
    y[0, i], y[1, i], y[2, i] = b0, b1, b2
    return b0, b1, b2


@_jit
def solve_for_two(a, factors, y):
    """Go through ``solve`` for two species, all in registers."""
    p, q, t, x, gain = factors
    n = y.shape[1]
    last, m = n - 1, n // 2
    l0, l1, l2 = times(x, 0, y[0, 0], y[1, 0], y[2, 0], y)
    r0, r1, r2 = times(x, last, y[0, last], y[1, last], y[2, last], y)
    for j in range(1, m):
        e = j - 1
        b0 = y[0, j] + a[e] * l0
        b1 = y[1, j] + p[0, e] * l1 - t[0, e] * l0
        b2 = y[2, j] + p[1, e] * l2 - t[1, e] * l0
        l0, l1, l2 = times(x, j, b0, b1, b2, y)
        i = last - j
        if i > m:
            b0 = y[0, i] + a[i] * r0
            b1 = y[1, i] + q[0, i] * r1 - t[0, i] * r0
            b2 = y[2, i] + q[1, i] * r2 - t[1, i] * r0
            r0, r1, r2 = times(x, i, b0, b1, b2, y)
    e = m - 1
    b0 = y[0, m] + a[e] * l0 + a[m] * r0
    b1 = y[1, m] + p[0, e] * l1 - t[0, e] * l0 + q[0, m] * r1 - t[0, m] * r0
    b2 = y[2, m] + p[1, e] * l2 - t[1, e] * l0 + q[1, m] * r2 - t[1, m] * r0
    l0, l1, l2 = times(x, m, b0, b1, b2, y)
    r0, r1, r2 = l0, l1, l2
    for j in range(m - 1, -1, -1):
        l0, l1, l2 = less(gain, j, l0, l1, l2, y)
        if last - j > m:
            r0, r1, r2 = less(gain, last - j, r0, r1, r2, y)
