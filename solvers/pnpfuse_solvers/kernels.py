"""Compiled kernels of equilibria of point ions.

Numba's on-disk cache does not notice a change in a callee that lives in another file, so all that
call each other stand here (but for ``exp``, which does not change). Arrays are float64
and C-contiguous, space is the last axis, and nothing is checked: the entry functions in Python
settle shapes and signs.

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

from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.exponential import exp

# One compile policy. No fastmath but fused multiply-adds, which round once instead of twice and
# save a fifth of a Newton step; sums of exponentials over 35 decades need IEEE order. A division
# by 0 gives inf as in NumPy, not an exception: a failed step is recognised by its NaN.
_jit = jit(error_model="numpy", nogil=True, fastmath={"contract"})

CONVERGED, STALLED, EXHAUSTED, NOT_FINITE = 0, 1, 2, 3


@_jit
def dot(x, y):
    """Sum of x_i y_i, four sums side by side."""
    n = x.size
    whole = n - n % 4
    p = q = r = s = 0.0
    for i in range(0, whole, 4):
        p += x[i] * y[i]
        q += x[i + 1] * y[i + 1]
        r += x[i + 2] * y[i + 2]
        s += x[i + 3] * y[i + 3]
    for i in range(whole, n):
        p += x[i] * y[i]
    return (p + q) + (r + s)


@_jit
def largest(x):
    """Largest |x_i| and sum of x_i (NaN where one of them is), four side by side."""
    n = x.size
    whole = n - n % 4
    p = q = r = s = 0.0
    total = other = 0.0
    for i in range(0, whole, 4):
        total += x[i] + x[i + 1]
        other += x[i + 2] + x[i + 3]
        p = abs(x[i]) if abs(x[i]) > p else p
        q = abs(x[i + 1]) if abs(x[i + 1]) > q else q
        r = abs(x[i + 2]) if abs(x[i + 2]) > r else r
        s = abs(x[i + 3]) if abs(x[i + 3]) > s else s
    for i in range(whole, n):
        total += x[i]
        p = abs(x[i]) if abs(x[i]) > p else p
    return max(max(p, q), max(r, s)), total + other


@_jit
def boltzmann(u, z, amount, w, closed, c):
    """Fill ``c`` (S, N) with Boltzmann concentrations of ``u`` (N,); return sum_s G_s."""
    total = 0.0
    n = u.size
    low = high = u[0]
    if closed:
        for i in range(1, n):
            low = min(low, u[i])
            high = max(high, u[i])
    for s in range(z.size):
        row = c[s]
        rate = -z[s]
        if closed:
            top = max(rate * low, rate * high)
            for i in range(n):
                row[i] = exp(rate * u[i] - top)
            mass = dot(w, row)
            scale = amount[s] / mass
            for i in range(n):
                row[i] *= scale
            total += amount[s] * (np.log(mass) + top)
        else:
            for i in range(n):
                row[i] = amount[s] * exp(rate * u[i])
            total += dot(w, row)
    return total


@_jit
def energy(u, a, w, f, r, v, z, amount, closed, c):
    """J(u) (see the module's head) and sum_s G_s; ``c`` (S, N) is filled on the way."""
    total_g = boltzmann(u, z, amount, w, closed, c)
    total = total_g
    for i in range(u.size - 1):
        jump = u[i + 1] - u[i]
        total += 0.5 * a[i] * jump * jump
    for i in range(u.size):
        total -= w[i] * f[i] * u[i]
    for end in range(2):
        if r[end] > 0.0:
            gap = u[-end] - v[end]  # u[0] on the left, u[-1] on the right
            total += 0.5 * r[end] * gap * gap
    return total, total_g


@_jit
def imbalance(u, a, w, f, r, v, z, c, out):
    """Fill ``out`` (N,) with -dJ/du: Gauss's law in the box of each node; 0 at a held end."""
    n = u.size
    for i in range(n):
        out[i] = f[i]
    for s in range(z.size):
        row = c[s]
        for i in range(n):
            out[i] += z[s] * row[i]
    for i in range(n):
        out[i] *= w[i]
    for i in range(1, n - 1):
        out[i] += a[i] * (u[i + 1] - u[i]) - a[i - 1] * (u[i] - u[i - 1])
    out[0] += a[0] * (u[1] - u[0])
    out[n - 1] -= a[n - 2] * (u[n - 1] - u[n - 2])
    for end in range(2):
        if r[end] > 0.0:
            out[-end] -= r[end] * (u[-end] - v[end])
        else:
            out[-end] = 0.0


@_jit
def thomas(off, diagonal, rhs):
    """Solve in place a symmetric tridiagonal M-matrix for the rows of ``rhs`` (K, N).

    Elimination from both ends to the middle: two chains of divisions that do not wait for each
    other take half the time of one.
    """
    n = diagonal.size
    k = rhs.shape[0]
    middle = n // 2
    factor = np.empty(n)
    left = right = 0.0  # squared off-diagonal over the pivot of the row before
    for i in range(middle):
        p = 1.0 / (diagonal[i] - left)
        left = off[i] * off[i] * p
        factor[i] = off[i] * p
        back = n - 1 - i
        if back > middle:
            q = 1.0 / (diagonal[back] - right)
            right = off[back - 1] * off[back - 1] * q
            factor[back] = off[back - 1] * q
            for j in range(k):
                value = rhs[j, back]
                if i > 0:
                    value -= off[back] * rhs[j, back + 1]
                rhs[j, back] = value * q
        for j in range(k):
            value = rhs[j, i]
            if i > 0:
                value -= off[i - 1] * rhs[j, i - 1]
            rhs[j, i] = value * p
    p = 1.0 / (diagonal[middle] - left - right)
    for j in range(k):
        value = rhs[j, middle]
        if middle > 0:
            value -= off[middle - 1] * rhs[j, middle - 1]
        if middle < n - 1:
            value -= off[middle] * rhs[j, middle + 1]
        rhs[j, middle] = value * p
    for i in range(middle - 1, -1, -1):
        back = n - 1 - i
        for j in range(k):
            rhs[j, i] -= factor[i] * rhs[j, i + 1]
            if back > middle:
                rhs[j, back] -= factor[back] * rhs[j, back - 1]


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
    rows = species + 2 if closed else 1
    work = np.empty((rows + species + 2, n))  # one allocation for all
    rhs, q, diagonal, off = work[:rows], work[rows:-2], work[-2], work[-1]
    for i in range(n - 1):
        off[i] = -a[i]
    diagonal[0] = a[0]
    diagonal[n - 1] = a[n - 2]
    for i in range(1, n - 1):
        diagonal[i] = a[i - 1] + a[i]
    for s in range(species):
        row, to = c[s], q[s]
        square = z[s] * z[s]
        for i in range(n):
            to[i] = w[i] * row[i]
            diagonal[i] += square * to[i]
    held = np.zeros(species)
    for i in range(n):
        rhs[0, i] = g[i]
    if closed:
        for i in range(n):
            rhs[1, i] = 0.0
        for s in range(species):
            for i in range(n):
                rhs[2 + s, i] = q[s, i]
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
                    held[s] += q[s, -end]
                    q[s, -end] = 0.0
                    rhs[2 + s, -end] = 0.0
    thomas(off, diagonal, rhs)
    step[:] = rhs[0]
    if closed:
        matrix = np.zeros((species, species))
        right = np.zeros(species)
        for s in range(species):
            right[s] = z[s] * dot(q[s], rhs[0])
            matrix[s, s] += held[s] + dot(q[s], rhs[1])
            for t in range(s):
                overlap = dot(q[s], rhs[2 + t])
                matrix[s, s] += z[t] * z[t] * overlap
                matrix[t, t] += z[s] * z[s] * overlap
                matrix[s, t] = matrix[t, s] = -z[s] * z[t] * overlap
        small_solve(matrix, right)
        for s in range(species):
            row = rhs[2 + s]
            factor = right[s] * z[s]
            for i in range(n):
                step[i] += factor * row[i]


@_jit
def equilibrium(u, a, w, f, r, v, z, amount, closed, tol, limit):
    """Minimise J from ``u`` (N,), in place, by Newton steps with a line search.

    Returns ``(c (S, N), sum_s G_s, iterations, error, status)``, the error being what the next step
    would be at the most, in kB T/e and absolute: a relative test stalls for ever where u = 0.
    """
    n = u.size
    c = np.empty((z.size, n))
    g = np.empty(n)
    step = np.empty(n)
    trial = np.empty(n)
    value = np.nan  # J(u), once it is asked for
    total_g = boltzmann(u, z, amount, w, closed, c)
    error = size = np.inf
    status = EXHAUSTED
    reach = np.abs(z).max()
    iteration = 0
    while iteration < limit:
        iteration += 1
        imbalance(u, a, w, f, r, v, z, c, g)
        newton_direction(a, w, r, z, c, closed, g, step)
        previous = size
        size, total = largest(step)
        if not np.isfinite(total + size):
            status = NOT_FINITE
            break
        # Along a step that changes no exponent by more than 1/5 the Hessian of J stays within a
        # factor exp(2/5) of itself, so the full step is sure to descend; asking Armijo there would
        # only ask the rounding of J.
        if reach * size <= 0.2:
            for i in range(n):
                u[i] += step[i]
            total_g = boltzmann(u, z, amount, w, closed, c)
            value = np.nan
            # What is left of Gauss's law, w sum z^3 c step^2 / 2, lies below the diagonal
            # w sum z^2 c times this; T is an M-matrix, so the next step does, too.
            error = min(size, reach * size * size)
            if error <= tol:
                status = CONVERGED
                break
            # Rounding floor: small steps that no longer shrink cannot be improved in float64.
            if size <= 1e-9 * max(1.0, largest(u)[0]) and size > 0.25 * previous:
                status = CONVERGED if size <= 100.0 * tol else STALLED
                break
            continue
        if np.isnan(value):
            value = energy(u, a, w, f, r, v, z, amount, closed, c)[0]
        error = size
        slope = dot(g, step)
        t, low, high = 1.0, 0.0, 1.0
        for _ in range(60):
            for i in range(n):
                trial[i] = u[i] + t * step[i]
            after, total_g = energy(trial, a, w, f, r, v, z, amount, closed, c)
            imbalance(trial, a, w, f, r, v, z, c, g)
            ahead = dot(g, step)  # how steeply J still falls there
            # Where a huge charge at a held node hides the change in J, its slope decides (Hager and
            # Zhang, SIAM J. Optim. 16 (2005) 170).
            hidden = abs(after - value) <= 1e-14 * abs(value) and ahead >= -0.9 * slope
            if not (after <= value - 1e-4 * t * slope or hidden):
                high = t
            elif not closed:
                break
            # Logarithms of sums are nearly straight far from the minimum: enough descent alone may
            # leave most of the way. J is convex: where it rises again lies beyond the least value
            # along the step, and where it falls half as steeply as at the start short of it.
            elif ahead < -0.5 * slope:
                high = t
            elif ahead > 0.5 * slope and t < 1.0:
                low = t
            else:
                break
            t = 0.5 * (low + high)
        u[:] = trial
        value = after
    return c, total_g, iteration, error, status


@_jit
def residual_of(u, a, w, f, r, v, z, amount, c):
    """Largest violation of Gauss's law in a node's box, over the largest displacement."""
    n = u.size
    missing, flow, series = np.empty(n), np.empty(n - 1), np.empty(n - 1)
    imbalance(u, a, w, f, r, v, z, c, missing)
    for i in range(n - 1):
        flow[i] = a[i] * (u[i + 1] - u[i])
        series[i] = 1.0 / a[i]
    charge = (np.abs(z) * amount).sum()
    for i in range(n):
        charge += abs(f[i]) * w[i]
    # Almost without a field, what is left is the rounding of the ions' charges and of a potential
    # that is large but nearly the same everywhere.
    capacitor = largest(u)[0] / largest(series)[1]
    return largest(missing)[0] / max(largest(flow)[0], 1e-8 * charge, 1e-3 * capacitor)


@_jit
def resolution_of(u, h, a, z, c):
    """How coarse the mesh is where ions are: above 1 a layer is not resolved.

    The larger of the first spacing at a wall over the Debye length there, and the largest step of
    ln c across an interval that holds more than a thousandth of a species.
    """
    n = u.size
    worst = 0.0
    for end in range(2):
        node, edge, inner = (0, 0, 1) if end == 0 else (n - 1, n - 2, n - 2)
        if abs(u[node] - u[inner]) > 1e-6:
            screening = (z * z * c[:, node]).sum() / (a[edge] * h[edge])
            worst = max(worst, h[edge] * np.sqrt(screening))
    piece = np.empty(n - 1)
    for s in range(z.size):
        row = c[s]
        for i in range(n - 1):
            piece[i] = row[i] + row[i + 1]
        counts = 1e-3 * dot(piece, h)
        for i in range(n - 1):
            step = abs(z[s] * (u[i + 1] - u[i]))
            piece[i] = step if piece[i] * h[i] > counts else 0.0
        worst = max(worst, largest(piece)[0])
    return worst


@_jit
def boxes(x, length, eps, fixed):
    """Spacings (N-1,), permittivities over them (N-1,), weights (N,), fixed charge (N,) on x [m].

    Spacings come from the stored coordinates, so that whoever integrates over x finds the same.
    """
    n = x.size
    h, a, w, f = np.empty(n - 1), np.empty(n - 1), np.empty(n), np.full(n, fixed)
    per_length = 1.0 / length
    for i in range(n - 1):
        h[i] = (x[i + 1] - x[i]) * per_length
        a[i] = eps / h[i]
    for i in range(1, n - 1):
        w[i] = 0.5 * (h[i - 1] + h[i])
    w[0], w[n - 1] = 0.5 * h[0], 0.5 * h[n - 2]
    return h, a, w, f


@_jit
def start(x, length, eps, v, z, amount, closed):
    """A straight line for a closed cell; Gouy-Chapman layers of both walls for a reservoir."""
    n = x.size
    u = np.zeros(n)
    if not closed:
        steepest = max(np.abs(z).max(), 1e-3)
        rate = np.sqrt((z * z * amount).sum() / eps)
        left, right = np.tanh(0.25 * steepest * v) * (1.0 - 1e-15)
        rate /= length
        for i in range(n):
            near, far = left * exp(-rate * x[i]), right * exp(-rate * (length - x[i]))
            u[i] = (
                2.0 / steepest * np.log((1.0 + near) * (1.0 + far) / ((1.0 - near) * (1.0 - far)))
            )
    miss, tilt = v[0] - u[0], v[1] - u[-1] - v[0] + u[0]
    for i in range(n):
        u[i] += miss + tilt * x[i] / length
    return u


@_jit
def observe(u, h, a, w, f, r, v, z, c, ions, slope):
    """Fill u' at the nodes (N,); return ``eps u'`` at both ends and the free energy.

    Each edge's displacement is taken to its ends through the charge between (Gauss's law). The
    energy is in eps0 (kB T/e)^2 / length; ``ions`` is its part ``sum_s int c ln(c/c_0) - c``.
    """
    n = u.size
    ends = np.empty(2)
    total = ions
    for i in range(n):
        edge = max(i - 1, 0)
        charge = f[i]
        for s in range(z.size):
            charge += z[s] * c[s, i]
        half = (-0.5 if i > 0 else 0.5) * h[edge] * charge
        displacement = a[edge] * (u[edge + 1] - u[edge]) + half
        slope[i] = displacement / (a[edge] * h[edge])
        if i == 0 or i == n - 1:
            ends[min(i, 1)] = displacement
        if i < n - 1:
            total += 0.5 * a[i] * (u[i + 1] - u[i]) ** 2
    for end in range(2):
        total += 0.5 * r[end] * (u[-end] - v[end]) ** 2
    return ends[0], ends[1], total + v[0] * ends[0] - v[1] * ends[1]


@_jit
def ideal(u, w, z, amount, closed, c, sum_g):
    """``sum_s int c ln(c/c_0) - c`` of Boltzmann profiles, ``sum_g`` from `boltzmann`."""
    total = -sum_g if closed else 0.0
    weighted = np.empty(u.size)
    for s in range(z.size):
        row = c[s]
        for i in range(u.size):
            weighted[i] = w[i] * (1.0 + z[s] * u[i])
        total -= dot(weighted, row)
    return total


@_jit
def log_partition(u, z, amount, c, out):
    """Fill ``out`` (S,) with ln int exp(-z u) dx, read off Boltzmann concentrations."""
    for s in range(z.size):
        k = 0 if c[s, 0] > c[s, -1] else u.size - 1
        if c[s, k] < 1e-200 * amount[s]:
            k = np.argmax(c[s])
        out[s] = np.log(amount[s] / c[s, k]) - z[s] * u[k]


@_jit
def levels(x, length, eps, fixed, r, v, z, amount, closed, u, tol, limit, order):
    """Solve a cell of uniform eps and fixed charge on ``x`` (N,) [m] from ``u`` (N,), extrapolated.

    Richardson's extrapolation over ``order / 2`` meshes, of which each halves the spacings of the
    one before: the error of the scheme is a series in h^2. Returns ``(u (N,), u' (N,), c (S, N),
    [eps u' left, right, energy, error estimate, residual, resolution, mass error], excess (S,),
    doubt (N,), iterations, error, status)``. The excess is what the concentrations, of exact
    amounts by the trapezoidal rule, are too large by (NaN at order 2), the doubt the last change of
    u at each node.
    """
    n, count, species = x.size, order // 2, z.size
    table, tilt, numbers = np.empty((count, n)), np.empty((count, n)), np.full((count, 7), np.nan)
    partition, doubt = np.empty((count, species)), np.zeros(n)
    iterations, done, error, status = 0, 0, np.inf, CONVERGED
    fine = x
    for level in range(count):
        h, a, w, f = boxes(fine, length, eps, fixed)
        for end in range(2):
            if r[end] == 0.0:
                u[-end] = v[end]
        c, sum_g, used, error, status = equilibrium(u, a, w, f, r, v, z, amount, closed, tol, limit)
        iterations += used
        if status != CONVERGED and level > 0:
            if numbers[0, 5] > 1.0:
                status = CONVERGED  # what failed is a layer that no level resolves: said by that
            break
        done = level + 1
        slope = np.empty(u.size)
        ions = ideal(u, w, z, amount, closed, c, sum_g)
        numbers[level, :3] = observe(u, h, a, w, f, r, v, z, c, ions, slope)
        if closed:
            log_partition(u, z, amount, c, partition[level])
        if level == count - 1:
            numbers[0, 4] = residual_of(u, a, w, f, r, v, z, amount, c)
        if level == 0:
            numbers[0, 5] = resolution_of(u, h, a, z, c)
        stride = 2**level
        for i in range(n):
            table[level, i], tilt[level, i] = u[stride * i], slope[stride * i]
        if status != CONVERGED or done == count:
            break
        finer, start_u = np.empty(2 * fine.size - 1), np.empty(2 * fine.size - 1)
        for i in range(fine.size):
            finer[2 * i], start_u[2 * i] = fine[i], u[i]
            if i > 0:
                finer[2 * i - 1] = 0.5 * (fine[i - 1] + fine[i])
                bend = 0.125 * h[i - 1] * (slope[i - 1] - slope[i])
                start_u[2 * i - 1] = 0.5 * (u[i - 1] + u[i]) + bend
        fine, u = finer, start_u
    for power in range(1, done):
        factor = 4.0**power
        before = table[done - power].copy()
        for k in range(done - power):
            table[k] = (factor * table[k + 1] - table[k]) / (factor - 1.0)
            tilt[k] = (factor * tilt[k + 1] - tilt[k]) / (factor - 1.0)
            partition[k] = (factor * partition[k + 1] - partition[k]) / (factor - 1.0)
            for j in range(3):
                numbers[k, j] = (factor * numbers[k + 1, j] - numbers[k, j]) / (factor - 1.0)
        doubt = np.abs(table[done - power - 1] - before)
        numbers[0, 3] = doubt.max()
    excess = np.full(species, np.nan if closed and done == 1 else 0.0)
    if done > 1 or c.shape[1] > n:
        w = boxes(x, length, eps, fixed)[2]
        c = np.empty((species, n))
        boltzmann(table[0], z, amount, w, closed, c)
        if closed and done > 1:
            log_partition(table[0], z, amount, c, excess)
            excess[:] = np.expm1(np.minimum(partition[0] - excess, 700.0))
    numbers[0, 6] = 0.0
    if closed:
        for s in range(species):
            numbers[0, 6] = max(numbers[0, 6], abs(dot(w, c[s]) / amount[s] - 1.0))
    return table[0], tilt[0], c, numbers[0], excess, doubt, iterations, error, status


@_jit
def interpolate(x, old_x, old_u):
    """``old_u`` on ``old_x``, straight between them, at the increasing points ``x``."""
    u = np.empty(x.size)
    edge = 0
    for i in range(x.size):
        while edge < old_x.size - 2 and old_x[edge + 1] < x[i]:
            edge += 1
        share = (x[i] - old_x[edge]) / (old_x[edge + 1] - old_x[edge])
        u[i] = old_u[edge] + share * (old_u[edge + 1] - old_u[edge])
    return u


@_jit
def coarse_each(x, length, eps, fixed, r, v, z, amount, closed, tol, limit, status):
    """Potentials (C, N) and concentrations (C, S, N) of C cells that are not solved yet."""
    cells, n = x.shape
    u, c = np.full((cells, n), np.nan), np.empty((cells, z.shape[1], n))
    iterations = np.zeros(cells, np.int64)
    for k in range(cells):
        if status[k] != CONVERGED:
            continue
        _, a, w, f = boxes(x[k], length[k], eps[k], fixed[k])
        u[k] = start(x[k], length[k], eps[k], v[k], z[k], amount[k], closed)
        for end in range(2):
            if r[k, end] == 0.0:
                u[k, -end] = v[k, end]
        c[k], _, iterations[k], _, status[k] = equilibrium(
            u[k], a, w, f, r[k], v[k], z[k], amount[k], closed, tol, limit
        )
    return u, c, iterations


@_jit
def levels_each(
    x, length, eps, fixed, r, v, z, amount, closed, old_x, old_u, tol, limit, order, status
):  # fmt: skip
    """`levels` for each of C cells, rows of the arguments; ``status`` (C,) in and out.

    Starts are interpolated from ``old_u`` on ``old_x`` (C, M). A cell that has failed before is
    left out, its results NaN.
    """
    cells, n = x.shape
    u, slope = np.full((cells, n), np.nan), np.full((cells, n), np.nan)
    c = np.full((cells, z.shape[1], n), np.nan)
    numbers, iterations = np.full((cells, 8), np.nan), np.zeros(cells, np.int64)
    excess, doubt = np.full(z.shape, np.nan), np.zeros((cells, n))
    for k in range(cells):
        if status[k] != CONVERGED:
            continue
        first = interpolate(x[k], old_x[k], old_u[k])
        found = levels(
            x[k], length[k], eps[k], fixed[k], r[k], v[k], z[k], amount[k], closed, first, tol,
            limit, order,
        )  # fmt: skip
        u[k], slope[k], c[k], numbers[k, :7], excess[k], doubt[k] = found[:6]
        iterations[k], numbers[k, 7], status[k] = found[6:]
    return u, slope, c, numbers, excess, doubt, iterations
