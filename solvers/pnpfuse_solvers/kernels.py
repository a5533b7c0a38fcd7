"""Compiled kernels of the solvers: all of them stand in this one file.

Numba's on-disk cache does not notice a change in a callee that lives in another file, so every
kernel that calls another stands here. Arrays are float64 and C-contiguous, space is the last
axis, and nothing is checked: the entry functions in Python settle shapes and signs.

The equilibrium problem on nodes ``x_0 .. x_{N-1}`` (lengths in cell lengths, potential ``u`` in
``kB T/e``) is the minimum of the convex function

    J(u) = 1/2 sum_e a_e (u_{e+1} - u_e)^2 - sum_i w_i f_i u_i + sum_s G_s(u)
           + 1/2 sum_ends r_end (u_end - v_end)^2

with edge permittivities over lengths ``a_e``, trapezoidal weights ``w_i`` (sum 1), fixed charge
``f``, Stern layers ``r_end`` and, for a species of valence ``z_s`` and amount ``m_s``,

    closed cell:   G_s = m_s log sum_i w_i exp(-z_s u_i)      (the amount is kept exactly)
    reservoir:     G_s = m_s sum_i w_i exp(-z_s u_i)

(Lee, Lee, Hyon, Lin and Liu, Nonlinearity 24 (2011) 431, for the closed cell.)
"""

import numpy as np
from numba import njit

# One compile policy. No fastmath: sums of exponentials over 35 decades need IEEE order. A division
# by 0 gives inf as in NumPy, not an exception: a failed step is recognised by its NaN.
_jit = njit(cache=True, error_model="numpy")

CONVERGED, STALLED, EXHAUSTED, NOT_FINITE = 0, 1, 2, 3


@_jit
def boltzmann(u, z, amount, w, closed, c):
    """Fill ``c`` (S, N) with Boltzmann concentrations of ``u`` (N,); return sum_s G_s."""
    total = 0.0
    n = u.size
    for s in range(z.size):
        if closed:
            top = -z[s] * u[0]
            for i in range(1, n):
                top = max(top, -z[s] * u[i])
            mass = 0.0
            for i in range(n):
                c[s, i] = np.exp(-z[s] * u[i] - top)
                mass += w[i] * c[s, i]
            scale = amount[s] / mass
            for i in range(n):
                c[s, i] *= scale
            total += amount[s] * (np.log(mass) + top)
        else:
            for i in range(n):
                c[s, i] = amount[s] * np.exp(-z[s] * u[i])
                total += w[i] * c[s, i]
    return total


@_jit
def energy(u, a, w, f, r, v, z, amount, closed, c):
    """J(u) (see the module's head); ``c`` (S, N) is filled on the way."""
    total = boltzmann(u, z, amount, w, closed, c)
    for i in range(u.size - 1):
        jump = u[i + 1] - u[i]
        total += 0.5 * a[i] * jump * jump
    for i in range(u.size):
        total -= w[i] * f[i] * u[i]
    for end in range(2):
        if r[end] > 0.0:
            gap = u[-end] - v[end]  # u[0] on the left, u[-1] on the right
            total += 0.5 * r[end] * gap * gap
    return total


@_jit
def imbalance(u, a, w, f, r, v, z, c, out):
    """Fill ``out`` (N,) with -dJ/du: Gauss's law in the box of each node; 0 at a held end."""
    n = u.size
    for i in range(n):
        charge = f[i]
        for s in range(z.size):
            charge += z[s] * c[s, i]
        out[i] = w[i] * charge
    for i in range(n - 1):
        flow = a[i] * (u[i + 1] - u[i])
        out[i] += flow
        out[i + 1] -= flow
    for end in range(2):
        if r[end] > 0.0:
            out[-end] -= r[end] * (u[-end] - v[end])
        else:
            out[-end] = 0.0


@_jit
def thomas(off, diagonal, rhs):
    """Solve in place a symmetric tridiagonal M-matrix for the rows of ``rhs`` (K, N)."""
    n = diagonal.size
    k = rhs.shape[0]
    upper = np.empty(n)
    pivot = 1.0 / diagonal[0]
    upper[0] = off[0] * pivot if n > 1 else 0.0
    for j in range(k):
        rhs[j, 0] *= pivot
    for i in range(1, n):
        pivot = 1.0 / (diagonal[i] - off[i - 1] * upper[i - 1])
        upper[i] = off[i] * pivot if i < n - 1 else 0.0
        for j in range(k):
            rhs[j, i] = (rhs[j, i] - off[i - 1] * rhs[j, i - 1]) * pivot
    for i in range(n - 2, -1, -1):
        for j in range(k):
            rhs[j, i] -= upper[i] * rhs[j, i + 1]


@_jit
def small_solve(matrix, rhs):
    """Solve in place a small symmetric positive definite system (S, S) x (S,)."""
    n = rhs.size
    for k in range(n):
        for i in range(k + 1, n):
            factor = matrix[i, k] / matrix[k, k]
            for j in range(k, n):
                matrix[i, j] -= factor * matrix[k, j]
            rhs[i] -= factor * rhs[k]
    for k in range(n - 1, -1, -1):
        for j in range(k + 1, n):
            rhs[k] -= matrix[k, j] * rhs[j]
        rhs[k] /= matrix[k, k]


@_jit
def newton_direction(a, w, r, z, c, closed, g, step):
    """Fill ``step`` (N,) with the Newton step H^-1 g, H the Hessian of J at concentrations c.

    In the closed cell H is a tridiagonal matrix T less one rank-one term a species (the derivative
    of the normalisation). With ``q_s = w c_s`` and ``y_s = T^-1 q_s`` the Woodbury matrix is
    ``M_st = delta_st m_s - z_s z_t q_s.y_t``; since ``T 1 = b + sum_t z_t^2 q_t`` (b: coupling to
    the electrodes) its diagonal equals ``q_s.y_b + sum_{t != s} z_t^2 q_s.y_t`` plus what sits on
    held nodes, a sum of positive terms. That form does not cancel when screening is strong.
    """
    n = w.size
    species = z.size
    diagonal = np.zeros(n)
    off = np.empty(n - 1)
    for i in range(n - 1):
        off[i] = -a[i]
        diagonal[i] += a[i]
        diagonal[i + 1] += a[i]
    for i in range(n):
        for s in range(species):
            diagonal[i] += z[s] * z[s] * w[i] * c[s, i]
    rows = species + 2 if closed else 1
    rhs = np.zeros((rows, n))
    rhs[0] = g
    held = np.zeros(species)
    if closed:
        for s in range(species):
            for i in range(n):
                rhs[2 + s, i] = w[i] * c[s, i]
    for end in range(2):
        if r[end] > 0.0:
            diagonal[-end] += r[end]
            if closed:
                rhs[1, -end] += r[end]
        else:
            neighbour = 1 if end == 0 else n - 2
            edge = 0 if end == 0 else n - 2
            diagonal[-end] = 1.0
            off[edge] = 0.0
            if closed:
                rhs[1, neighbour] += a[edge]
                for s in range(species):
                    held[s] += rhs[2 + s, -end]
                    rhs[2 + s, -end] = 0.0
    q = rhs[2:].copy()
    thomas(off, diagonal, rhs)
    step[:] = rhs[0]
    if closed:
        matrix = np.zeros((species, species))
        right = np.zeros(species)
        for s in range(species):
            for i in range(n):
                right[s] += z[s] * q[s, i] * rhs[0, i]
                matrix[s, s] += q[s, i] * rhs[1, i]
            matrix[s, s] += held[s]
            for t in range(species):
                if t == s:
                    continue
                overlap = 0.0
                for i in range(n):
                    overlap += q[s, i] * rhs[2 + t, i]
                matrix[s, s] += z[t] * z[t] * overlap
                matrix[s, t] -= z[s] * z[t] * overlap
        small_solve(matrix, right)
        for s in range(species):
            for i in range(n):
                step[i] += right[s] * z[s] * rhs[2 + s, i]


@_jit
def equilibrium(u, a, w, f, r, v, z, amount, closed, tol, limit):
    """Minimise J from ``u`` (N,), in place, by Newton steps with Armijo's rule.

    Returns ``(c (S, N), iterations, last full step, status)``. A minimum is recognised by the
    Newton step itself, in kB T/e and absolute: a relative test stalls for ever where u = 0.
    """
    n = u.size
    c = np.empty((z.size, n))
    g = np.empty(n)
    step = np.empty(n)
    trial = np.empty(n)
    value = energy(u, a, w, f, r, v, z, amount, closed, c)
    size = np.inf
    status = EXHAUSTED
    reach = np.abs(z).max()
    iteration = 0
    while iteration < limit:
        iteration += 1
        imbalance(u, a, w, f, r, v, z, c, g)
        newton_direction(a, w, r, z, c, closed, g, step)
        previous = size
        size = 0.0
        slope = 0.0
        top = 1.0
        for i in range(n):
            size = max(size, abs(step[i]))
            slope += g[i] * step[i]
            top = max(top, abs(u[i]))
        if not np.isfinite(size + slope):
            status = NOT_FINITE
            break
        # Along a step that changes no exponent by more than 1/5 the Hessian of J stays within a
        # factor exp(2/5) of itself, so the full step is sure to descend; asking Armijo there would
        # only ask the rounding of J.
        sure = reach * size <= 0.2
        t = 1.0
        while True:
            for i in range(n):
                trial[i] = u[i] + t * step[i]
            after = energy(trial, a, w, f, r, v, z, amount, closed, c)
            if sure or after <= value - 1e-4 * t * slope or t < 1e-10:
                break
            t *= 0.5
        u[:] = trial
        value = after
        if sure and size <= tol:
            status = CONVERGED
            break
        # Rounding floor: small steps that no longer shrink cannot be improved in float64.
        if sure and size <= 1e-9 * top and size > 0.25 * previous:
            status = CONVERGED if size <= 100.0 * tol else STALLED
            break
    return c, iteration, size, status
