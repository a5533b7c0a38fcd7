"""Compiled kernels of ions on the move: fluxes, block elimination, Newton, steps in time.

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
from numba import njit

# As in ``kernels``: no fastmath, and a division by 0 gives inf.
_jit = njit(cache=True, error_model="numpy")

CONVERGED, EXHAUSTED, NOT_FINITE = 0, 1, 2


@_jit
def bernoulli(x):
    """B(x) = x/(exp(x) - 1), to rounding on the whole line; B(-x) = B(x) + x."""
    if x == 0.0:
        return 1.0
    if x > 700.0:
        return x * np.exp(-x)
    return x / np.expm1(x)


@_jit
def bernoulli_slope(x):
    """B'(x); a series near 0, where the closed form cancels."""
    if abs(x) < 0.2:
        y = x * x
        return -0.5 + x * (
            1.0 / 6.0
            - y * (1.0 / 180.0 - y * (1.0 / 5040.0 - y * (1.0 / 151200.0 - y / 4790016.0)))
        )
    if x > 700.0:
        return (1.0 - x) * np.exp(-x)
    b = x / np.expm1(x)
    return b * (1.0 - x - b) / x


@_jit
def fluxes(u, c, h, z, d, out):
    """Fill ``out`` (S, N-1) with the flux of each species through each edge."""
    for s in range(z.size):
        for i in range(h.size):
            drop = z[s] * (u[i + 1] - u[i])
            b = bernoulli(drop)
            out[s, i] = d[s] / h[i] * (b * c[s, i] - (b + drop) * c[s, i + 1])


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
def newton(u, c, known, store, tau, a, h, w, f, r, v, z, d, tol, limit):
    """Newton's method from ``u`` (N,), ``c`` (S, N) > 0, in place, damped to keep c positive.

    Returns ``(iterations, last full step, status)``; the step is the larger of the change of u in
    kB T/e and that of c, relative to c (to a billionth of its maximum where it is smaller).
    """
    n = u.size
    species = z.size
    k = species + 1
    lower, diagonal, upper = np.empty((n, k, k)), np.empty((n, k, k)), np.empty((n, k, k))
    right = np.empty((n, k))
    size = np.inf
    for iteration in range(1, limit + 1):
        assemble(u, c, known, store, tau, a, h, w, f, r, v, z, d, lower, diagonal, upper, right)
        block_thomas(lower, diagonal, upper, right)
        size = 0.0
        t = 1.0
        for i in range(n):
            size = max(size, abs(right[i, 0]))
            t = min(t, 4.0 / (abs(right[i, 0]) + 1e-300))
        for s in range(species):
            floor = 1e-9 * c[s].max()
            for i in range(n):
                size = max(size, abs(right[i, 1 + s]) / max(c[s, i], floor))
                change = right[i, 1 + s] / c[s, i]
                if change < -0.9:
                    t = min(t, -0.9 / change)
        if not np.isfinite(size):
            return iteration, size, NOT_FINITE
        for i in range(n):
            u[i] += t * right[i, 0]
            for s in range(species):
                c[s, i] += t * right[i, 1 + s]
        if t == 1.0 and size <= tol:
            return iteration, size, CONVERGED
    return limit, size, EXHAUSTED


@_jit
def diagonal_step(u, c, tau, a, h, w, f, r, v, z, d, table, embedded, tol, limit):
    """One step of a singly diagonally implicit, stiffly accurate Runge-Kutta method, in place.

    ``table`` (K, K) is the lower triangle of the method, ``embedded`` (K,) the weights of a method
    of lower order, ``v`` (K, 2) the electrodes' potentials at the stages. Every stage is a step of
    backward Euler from a known state, so amounts are kept exactly. Returns
    ``(error (S, N), iterations, status)``.
    """
    stages = table.shape[0]
    species, n = c.shape
    before = c.copy()
    rates = np.zeros((stages, species, n))  # tau dc/dt
    iterations = 0
    for j in range(stages):
        known = before.copy()
        for m in range(j):
            known += table[j, m] * rates[m]
        for end in range(2):
            if r[end] == 0.0:
                u[-end] = v[j, end]
        used, _, status = newton(
            u, c, known, 1.0, table[j, j] * tau, a, h, w, f, r, v[j], z, d, tol, limit
        )
        iterations += used
        if status != CONVERGED:
            return rates[0], iterations, status
        rates[j] = (c - known) / table[j, j]
    error = np.zeros((species, n))
    for j in range(stages):
        error += (table[stages - 1, j] - embedded[j]) * rates[j]
    return error, iterations, CONVERGED
