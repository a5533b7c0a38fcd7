"""Compiled kernels of ions on the move: fluxes, their balance, Newton's method.

They stand apart from ``kernels`` because neither file calls the other (Numba's cache would not
notice a change across files). On nodes ``x_0 .. x_{N-1}``, lengths in cell lengths, potential u in
kB T/e, concentrations in the unit of ``Discrete.amount``, the unknowns of a node are
``(u, c_1 .. c_S)`` and the flux of a species through an edge is that of Scharfetter and Gummel
(IEEE Trans. Electron Devices 16 (1969) 64), exact for a straight potential and a constant flux:

    J = D/h (B(d) c_i - B(-d) c_{i+1}),   d = z (u_{i+1} - u_i),   B(x) = x / (exp(x) - 1)

A node's residuals are Gauss's law in its box and, for each species, what is stored there and what
flows in less what flows out.
"""

import numpy as np

from pnpfuse_solvers import compiled, elimination
from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.elimination import System, factorise, room, solve

# As in ``kernels``: no fastmath, and a division by 0 gives inf.
_jit = jit(error_model="numpy")

CONVERGED, EXHAUSTED, NOT_FINITE = 0, 1, 2
# Largest change of u in a Newton step that need not be damped, kB T/e.
REACH = 4.0


# B(x) + x/2 = x/2 coth(x/2) as a series in x^2: Bernoulli's numbers over factorials. Ten of them
# reach rounding for |x| <= 1.
C1, C2, C3, C4, C5 = 1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160
C6, C7, C8 = -691 / 1307674368000, 1 / 74724249600, -3617 / 10670622842880000
C9, C10 = 43867 / 5109094217170944000, -174611 / 802857662698291200000


@_jit
def even(y):
    """B(x) + x/2 for y = x^2 <= 1."""
    high = C6 + y * (C7 + y * (C8 + y * (C9 + y * C10)))
    return 1.0 + y * (C1 + y * (C2 + y * (C3 + y * (C4 + y * (C5 + y * high)))))


@_jit
def even_slope(y):
    """Derivative of ``even`` by y."""
    high = 6 * C6 + y * (7 * C7 + y * (8 * C8 + y * (9 * C9 + y * (10 * C10))))
    return C1 + y * (2 * C2 + y * (3 * C3 + y * (4 * C4 + y * (5 * C5 + y * high))))


@_jit
def bernoulli(x):
    """B(x) = x/(exp(x) - 1), to rounding on the whole line; B(-x) = B(x) + x."""
    p = abs(x)
    if p < 1.0:
        return even(p * p) - 0.5 * x
    if p < 40.0:
        b = p / np.expm1(p)
    elif p < 1600.0:
        half = np.exp(-0.5 * p)  # exp(-p) alone leaves the normal numbers before p exp(-p) does
        b = (p * half) * half
    else:
        b = 0.0
    return b if x > 0.0 else b + p


@_jit
def bernoulli_slope(x):
    """B'(x), to rounding on the whole line; B'(-x) = -1 - B'(x)."""
    p = abs(x)
    if p < 1.0:
        return 2.0 * x * even_slope(p * p) - 0.5
    if p < 40.0:
        b = p / np.expm1(p)
        slope = b * (1.0 - p - b) / p
    elif p < 1600.0:
        half = np.exp(-0.5 * p)
        slope = ((1.0 - p) * half) * half
    else:
        slope = 0.0
    return slope if x > 0.0 else -1.0 - slope


@_jit
def gentle(u, z):
    """Whether the series of B holds on every edge: it has no branch and runs in SIMD lanes."""
    wild = 0
    for i in range(u.size - 1):
        wild += abs(z * (u[i + 1] - u[i])) >= 1.0
    return wild == 0


@_jit
def fluxes(u, c, h, z, d, out):
    """Fill ``out`` (S, N-1) with the flux of each species through each edge."""
    for s in range(z.size):
        if gentle(u, z[s]):
            for i in range(h.size):
                drop = z[s] * (u[i + 1] - u[i])
                b = even(drop * drop) - 0.5 * drop
                out[s, i] = d[s] / h[i] * (b * c[s, i] - (b + drop) * c[s, i + 1])
        else:
            for i in range(h.size):
                drop = z[s] * (u[i + 1] - u[i])
                b = bernoulli(drop)
                out[s, i] = d[s] / h[i] * (b * c[s, i] - (b + drop) * c[s, i + 1])


@_jit
def fluxes_of(u, c, h, z, d, out):
    """Fill ``out`` (P, S, N-1) with the ``fluxes`` of P states."""
    for i in range(u.shape[0]):
        fluxes(u[i], c[i], h, z, d, out[i])


@_jit
def slopes(u, c, h, z, d, p, q, t):
    """Fill p, q, t (S, N-1): dJ = p dc_i - q dc_{i+1} + t (du_{i+1} - du_i) on each edge."""
    for s in range(z.size):
        if gentle(u, z[s]):
            for i in range(h.size):
                g = d[s] / h[i]
                drop = z[s] * (u[i + 1] - u[i])
                y = drop * drop
                b = even(y) - 0.5 * drop
                slope = 2.0 * drop * even_slope(y) - 0.5
                p[s, i] = g * b
                q[s, i] = g * (b + drop)
                t[s, i] = g * z[s] * (slope * c[s, i] - (slope + 1.0) * c[s, i + 1])
        else:
            for i in range(h.size):
                g = d[s] / h[i]
                drop = z[s] * (u[i + 1] - u[i])
                b, slope = bernoulli(drop), bernoulli_slope(drop)
                p[s, i] = g * b
                q[s, i] = g * (b + drop)
                t[s, i] = g * z[s] * (slope * c[s, i] - (slope + 1.0) * c[s, i + 1])


@_jit
def block_thomas(lower, diagonal, upper, right):
    """Solve in place a block tridiagonal system: blocks (N, K, K), right-hand side (N, K).

    Elimination without exchange of block rows, with row exchange inside the diagonal blocks.
    """
    n, k = right.shape
    for i in range(n):
        if i > 0:
            for p in range(k):
                for q in range(k):
                    factor = lower[i, p, q]
                    if factor != 0.0:
                        for j in range(k):
                            diagonal[i, p, j] -= factor * upper[i - 1, q, j]
                        right[i, p] -= factor * right[i - 1, q]
        for column in range(k):
            pivot = column
            for p in range(column + 1, k):
                if abs(diagonal[i, p, column]) > abs(diagonal[i, pivot, column]):
                    pivot = p
            if pivot != column:
                for j in range(k):
                    diagonal[i, column, j], diagonal[i, pivot, j] = (
                        diagonal[i, pivot, j],
                        diagonal[i, column, j],
                    )
                    upper[i, column, j], upper[i, pivot, j] = (
                        upper[i, pivot, j],
                        upper[i, column, j],
                    )
                right[i, column], right[i, pivot] = right[i, pivot], right[i, column]
            inverse = 1.0 / diagonal[i, column, column]
            for j in range(column + 1, k):
                diagonal[i, column, j] *= inverse
            for j in range(k):
                upper[i, column, j] *= inverse
            right[i, column] *= inverse
            for p in range(k):
                if p != column:
                    factor = diagonal[i, p, column]
                    if factor != 0.0:
                        for j in range(column + 1, k):
                            diagonal[i, p, j] -= factor * diagonal[i, column, j]
                        for j in range(k):
                            upper[i, p, j] -= factor * upper[i, column, j]
                        right[i, p] -= factor * right[i, column]
    for i in range(n - 2, -1, -1):
        for p in range(k):
            for q in range(k):
                right[i, p] -= upper[i, p, q] * right[i + 1, q]


@_jit
def assemble(u, c, known, store, tau, a, h, w, f, r, v, z, d, lower, diagonal, upper, right):
    """Fill the blocks of the Jacobian and ``right`` with minus the residuals.

    A species' residual is ``store w (c - known) + tau (flux out - flux in)``. Steady states have
    store 0 and concentrations held at the ends, steps in time store 1 and ends that let nothing
    through. The potential of an end is held where r is 0, else a Stern layer of conductance r
    leads to the electrode at v.
    """
    n = u.size
    species = z.size
    lower[:] = 0.0
    diagonal[:] = 0.0
    upper[:] = 0.0
    right[:] = 0.0
    for i in range(n):
        charge = f[i]
        for s in range(species):
            charge += z[s] * c[s, i]
            diagonal[i, 0, 1 + s] = -w[i] * z[s]
            diagonal[i, 1 + s, 1 + s] = store * w[i]
            right[i, 1 + s] = -store * w[i] * (c[s, i] - known[s, i])
        right[i, 0] = w[i] * charge
        if i > 0:
            right[i, 0] -= a[i - 1] * (u[i] - u[i - 1])
            diagonal[i, 0, 0] += a[i - 1]
            lower[i, 0, 0] = -a[i - 1]
        if i < n - 1:
            right[i, 0] += a[i] * (u[i + 1] - u[i])
            diagonal[i, 0, 0] += a[i]
            upper[i, 0, 0] = -a[i]
    for s in range(species):
        p = 1 + s
        for i in range(n - 1):
            drop = z[s] * (u[i + 1] - u[i])
            b = bernoulli(drop)
            slope = bernoulli_slope(drop)
            g = tau * d[s] / h[i]
            flow = g * (b * c[s, i] - (b + drop) * c[s, i + 1])
            # d(flow)/du_{i+1} = -d(flow)/du_i
            tilt = g * z[s] * (slope * c[s, i] - (slope + 1.0) * c[s, i + 1])
            right[i, p] -= flow
            diagonal[i, p, p] += g * b
            upper[i, p, p] -= g * (b + drop)
            diagonal[i, p, 0] -= tilt
            upper[i, p, 0] += tilt
            right[i + 1, p] += flow
            diagonal[i + 1, p, p] += g * (b + drop)
            lower[i + 1, p, p] -= g * b
            diagonal[i + 1, p, 0] -= tilt
            lower[i + 1, p, 0] += tilt
    for end in range(2):
        i = -end  # node 0 on the left, -1 on the right
        if r[end] > 0.0:
            right[i, 0] -= r[end] * (u[i] - v[end])
            diagonal[i, 0, 0] += r[end]
        first = 0 if r[end] == 0.0 else 1
        last = species + 1 if store == 0.0 else 1
        for p in range(first, last):
            for q in range(species + 1):
                diagonal[i, p, q] = 0.0
                lower[i, p, q] = 0.0
                upper[i, p, q] = 0.0
            diagonal[i, p, p] = 1.0
            right[i, p] = 0.0


@_jit
def imbalance(u, c, v, system, flow, out):
    """Fill ``out`` (K, N) with what each node's box gains: charge to Gauss's law, then ions.

    Where the potential of an end is held, the row of Gauss's law says how far it is from ``v``.
    ``flow`` (S, N-1) is filled with the fluxes.
    """
    a, h, w, f, r, z, d = system
    n = u.size
    fluxes(u, c, h, z, d, flow)
    for i in range(n):
        out[0, i] = f[i]
    for s in range(z.size):
        for i in range(n):
            out[0, i] += z[s] * c[s, i]
        out[1 + s, 0] = -flow[s, 0]
        for i in range(1, n - 1):
            out[1 + s, i] = flow[s, i - 1] - flow[s, i]
        out[1 + s, n - 1] = flow[s, n - 2]
    out[0, 0] = w[0] * out[0, 0] + a[0] * (u[1] - u[0])
    for i in range(1, n - 1):
        out[0, i] = w[i] * out[0, i] + (a[i] * (u[i + 1] - u[i]) - a[i - 1] * (u[i] - u[i - 1]))
    out[0, n - 1] = w[n - 1] * out[0, n - 1] - a[n - 2] * (u[n - 1] - u[n - 2])
    for end in range(2):
        gap = v[end] - u[-end]  # u[0] on the left, u[-1] on the right
        out[0, -end] = gap if r[end] == 0.0 else out[0, -end] + r[end] * gap


def _newton(stamp):
    @_jit
    def newton(u, c, known, store, tau, a, h, w, f, r, v, z, d, tol, limit):
        """Newton's method from ``u`` (N,), ``c`` (S, N) > 0, in place, damped to keep c positive.

        A species' residual is ``store w (c - known) + tau (flux out - flux in)``. Steady states
        have store 0 and concentrations held at the ends, steps in time store 1 and ends that let
        nothing through. The potential of an end keeps its value where r is 0, else a Stern layer
        of conductance r leads to the electrode at v.

        Returns ``(iterations, last full step, status)``; the step is the larger of the change of u
        in kB T/e and that of c, relative to c (to a billionth of its maximum where it is smaller).
        """
        _ = stamp
        system = System(a, h, w, f, r, z, d)
        n = u.size
        species = z.size
        factors = room(species, n)
        flow, right = np.empty((species, n - 1)), np.empty((species + 1, n))
        rate = store / tau
        size = np.inf
        for iteration in range(1, limit + 1):
            slopes(u, c, h, z, d, factors.p, factors.q, factors.t)
            factorise(rate, system, factors)
            imbalance(u, c, v, system, flow, right)
            for s in range(species):
                for i in range(n):
                    right[1 + s, i] -= rate * w[i] * (c[s, i] - known[s, i])
            for end in range(2):
                if r[end] == 0.0:
                    right[0, -end] = 0.0
                if store == 0.0:
                    right[1:, -end] = 0.0
            solve(a, factors, right)
            size = 0.0
            for i in range(n):
                size = max(size, abs(right[0, i]))
            t = min(1.0, REACH / (size + 1e-300))
            for s in range(species):
                floor = 1e-9 * c[s].max()
                for i in range(n):
                    size = max(size, abs(right[1 + s, i]) / max(c[s, i], floor))
                    if right[1 + s, i] < -0.9 * c[s, i]:
                        t = min(t, -0.9 * c[s, i] / right[1 + s, i])
            if not np.isfinite(size) or not np.isfinite(right.sum()):
                return iteration, size, NOT_FINITE
            for i in range(n):
                u[i] += t * right[0, i]
                for s in range(species):
                    c[s, i] += t * right[1 + s, i]
            if t == 1.0 and size <= tol:
                return iteration, size, CONVERGED
        return limit, size, EXHAUSTED

    return newton


newton = _newton(compiled.stamp(elimination))
