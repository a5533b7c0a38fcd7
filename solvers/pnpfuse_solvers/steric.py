"""Compiled equilibrium of ions that have a size or any other convex excess free energy.

The free energy density of the ions is, in kB T,

    f(c) = sum_i c_i (ln c_i - 1) + (Gamma ln Gamma + Phi) / v0 + f_user(c),
    Phi = sum_i v_i c_i,  Gamma = 1 - Phi,  v_i = a_i^3,  v0 = mean of the volumes above 0,

so that ``mu_i = ln c_i - k_i ln Gamma + d f_user/d c_i`` with ``k_i = v_i / v0``. For equal sizes
this is the lattice gas of Bikerman, Borukhov, Andelman and Orland (PRL 79 (1997) 435) and Kilic,
Bazant and Ajdari (PRE 75 (2007) 021502); the exponents v_i/v0 for unequal sizes are those of Liu
and Eisenberg (J. Chem. Phys. 141 (2014) 22D532). The shorter ``-ln Gamma`` for every species is not
offered: for unequal sizes its derivatives ``v_j / Gamma`` are not symmetric, so it has no free
energy, no minimum principle and no unique equilibrium.

At equilibrium ``mu_i + z_i u`` is the same everywhere. The convex conjugate P of f (the osmotic
pressure) has ``c = grad P`` and the susceptibility ``chi = Hessian of P``, and potential and
chemical potentials of a closed cell together minimise the convex function

    J(u, mu) = 1/2 sum_e a_e (u_{e+1} - u_e)^2 + sum_i w_i (P(mu - z u_i) - f_i u_i)
               - sum_s mu_s m_s + 1/2 sum_ends r_end (u_end - v_end)^2

(symbols as in ``kernels``; against a reservoir mu is given). Arrays as there; all kernels that call
each other stand in this one file, because Numba's cache is blind to callees elsewhere. Two tuples
go through them: ``ions`` = (z, k, log_v, inv_v0, excess, user, unit), see `mixture.Mixture`, and
``held`` = (log_c (S, N), log_gamma (N,), c (S, N), chi_z (S, N), sums (S, S)), what `state` fills.
"""

import math

import numpy as np
from numba import types

from pnpfuse_solvers.compiled import callback, jit

_jit = jit(error_model="numpy")
# What a user's excess looks like to the kernels: (c (S,) [1/m^3], mu (S,), d mu/d c (S, S)).
EXCESS = types.void(types.float64[::1], types.float64[::1], types.float64[:, ::1])
# Evaluations of all nodes to settle a closed cell's chemical potentials; 2 or 3 are usual.
MOST_TRIES = 40
CONVERGED, STALLED, EXHAUSTED, NOT_FINITE, NOT_CONVEX = 0, 1, 2, 3, 4


@callback(EXCESS)
def no_excess(c, mu, slope):
    """Stand in where the user gives no excess; never called."""


@_jit
def pack(t, k, log_v, log_c):
    """Fill ``log_c`` (S,) at the exponents ``t`` (S,) = ln c - k ln Gamma; return ln Gamma.

    ln Gamma = g is the root of ``ln(exp(g) + sum_i v_i exp(t_i + k_i g)) = 0``, whose left side is
    convex and rises: from the largest g at which no single term exceeds 1, Newton's method comes
    down to it without ever overshooting, whatever the exponents are.
    """
    g = 0.0
    for s in range(t.size):
        if k[s] > 0.0:
            g = min(g, -(log_v[s] + t[s]) / k[s])
    for _ in range(60):
        total = math.exp(g)
        slope = total
        for s in range(t.size):
            if k[s] > 0.0:
                part = math.exp(log_v[s] + t[s] + k[s] * g)
                total += part
                slope += k[s] * part
        # total is at least 1, so log1p loses nothing where it is nearly 1.
        change = math.log1p(total - 1.0) * total / slope
        g -= change
        if not abs(change) > 1e-15 * (1.0 + abs(g)):
            break
    for s in range(t.size):
        log_c[s] = t[s] + k[s] * g
    return g


@_jit
def susceptibility(c, k, e, chi):
    """Fill ``chi`` (S, S) = C - C k k C / D, D = e + sum c k^2, e = Gamma/v0; nothing cancels."""
    n = c.size
    crowd = e
    for s in range(n):
        crowd += c[s] * k[s] * k[s]
    for s in range(n):
        others = e
        for q in range(n):
            if q != s:
                others += c[q] * k[q] * k[q]
                chi[s, q] = -c[s] * k[s] * (c[q] * k[q] / crowd)
        chi[s, s] = c[s] * (others / crowd)


@_jit
def multiply(first, second, out):
    """Fill ``out`` with the product of two small matrices."""
    for i in range(first.shape[0]):
        for j in range(second.shape[1]):
            out[i, j] = 0.0
            for q in range(second.shape[0]):
                out[i, j] += first[i, q] * second[q, j]


@_jit
def with_slope(c, k, e, slope, chi):
    """Fill ``chi`` (S, S) with the inverse of (steric chi)^-1 + ``slope``; False if not convex.

    The steric chi is factored as F F^T (a diagonal less a rank one: all pivots are sums of positive
    terms); the answer is F (1 + F^T slope F)^-1 F^T, and Cholesky's factors of the bracket exist
    where the free energy is convex and only there.
    """
    n = c.size
    factor = np.zeros((n, n))
    rest = e
    for s in range(n):
        rest += c[s] * k[s] * k[s]
    for s in range(n):
        w = c[s] * k[s]
        after = 0.0
        for q in range(s + 1, n):
            after += c[q] * k[q] * k[q]
        after += e
        root = math.sqrt(c[s] * (after / rest))
        factor[s, s] = root
        if k[s] > 0.0 and root > 0.0:
            for q in range(s + 1, n):
                factor[q, s] = -(w / root) * (c[q] * k[q] / rest)
        rest = after
    half, bracket = np.empty((n, n)), np.empty((n, n))
    multiply(slope, factor, half)
    multiply(factor.T.copy(), half, bracket)
    for i in range(n):
        bracket[i, i] += 1.0
    for i in range(n):
        for j in range(i + 1):
            value = 0.5 * (bracket[i, j] + bracket[j, i])
            for q in range(j):
                value -= bracket[i, q] * bracket[j, q]
            if i == j:
                if not value > 1e-13:
                    return False
                bracket[i, i] = math.sqrt(value)
            else:
                bracket[i, j] = value / bracket[j, j]
        for j in range(i + 1, n):
            bracket[i, j] = bracket[j, i]
    # rows of ``solved`` are lower^-1 F^T, so that chi = solved^T solved.
    solved = factor.T.copy()
    for column in range(n):
        for i in range(n):
            value = solved[i, column]
            for q in range(i):
                value -= bracket[i, q] * solved[q, column]
            solved[i, column] = value / bracket[i, i]
    for s in range(n):
        for q in range(n):
            value = 0.0
            for i in range(n):
                value += solved[i, s] * solved[i, q]
            chi[s, q] = value
    return True


@_jit
def relax(target, t, ions, log_c, chi):
    """Solve ``t + mu_user(c(t)) = target`` for ``t`` (S,), in place, by damped Newton steps.

    Fills ``log_c`` and ``chi`` on the way; returns (ln Gamma, status). Working on t keeps every
    concentration positive and below close packing.
    """
    _, k, log_v, inv_v0, excess, _, unit = ions
    n = t.size
    c, mu, step, trial = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    slope, product = np.empty((n, n)), np.empty((n, n))
    reach = 1.0
    for s in range(n):
        reach = max(reach, abs(target[s]))
    g = pack(t, k, log_v, log_c)
    miss = 0.0
    for s in range(n):
        c[s] = math.exp(log_c[s]) / unit
    excess(c, mu, slope)
    for s in range(n):
        step[s] = target[s] - t[s] - mu[s]
        miss += step[s] * step[s]
    settled = False
    for _ in range(100):
        if not np.isfinite(miss):
            return g, NOT_FINITE
        for s in range(n):
            c[s] *= unit
            for q in range(n):
                slope[s, q] /= unit
        if not with_slope(c, k, math.exp(g) * inv_v0, slope, chi):
            return g, NOT_CONVEX
        if settled or miss <= (1e-14 * reach) ** 2:
            break
        multiply(slope, chi, product)
        share = 1.0
        before = miss
        kept = t.copy()
        while True:
            for s in range(n):
                trial[s] = kept[s] + share * step[s]
                for q in range(n):
                    trial[s] -= share * product[s, q] * step[q]
            g = pack(trial, k, log_v, log_c)
            for s in range(n):
                c[s] = math.exp(log_c[s]) / unit
            excess(c, mu, slope)
            miss = 0.0
            for s in range(n):
                miss += (target[s] - trial[s] - mu[s]) ** 2
            if miss <= (1.0 - 1e-3 * share) * before or share < 1e-9:
                break
            share *= 0.5
        t[:] = trial
        floor = 1e-14 * reach
        for s in range(n):
            step[s] = target[s] - t[s] - mu[s]
            # What the rounding of c alone does to mu: much, next to a pole such as close packing.
            for q in range(n):
                floor = max(floor, 1e-15 * abs(slope[s, q]) * c[q])
        if not miss < before and not before <= n * (100.0 * floor) ** 2:
            return g, STALLED if np.isfinite(miss) else NOT_FINITE
        settled = not miss < before
    return g, CONVERGED


@_jit
def state(u, mu, w, ions, held):
    """Fill ``held`` at potential ``u`` (N,) and chemical potentials ``mu`` (S,); return a status.

    ``chi_z`` is chi z, ``sums`` the sum of w chi; ``log_c`` and ``log_gamma`` come in as the start
    of `relax`.
    """
    z, k, log_v, inv_v0, _, user, _ = ions
    log_c, log_gamma, c, chi_z, sums = held
    n = z.size
    t, target, part, own = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    chi = np.empty((n, n))
    sums[:] = 0.0
    for i in range(u.size):
        for s in range(n):
            target[s] = mu[s] - z[s] * u[i]
        if user:
            for s in range(n):
                t[s] = log_c[s, i] - k[s] * log_gamma[i]
            g, status = relax(target, t, ions, part, chi)
            if status != CONVERGED:
                return status
        else:
            g = pack(target, k, log_v, part)
        log_gamma[i] = g
        e = math.exp(g) * inv_v0
        crowd = e
        for s in range(n):
            log_c[s, i] = part[s]
            own[s] = math.exp(part[s])
            c[s, i] = own[s]
            crowd += own[s] * k[s] * k[s]
        if not user:
            susceptibility(own, k, e, chi)
        for s in range(n):
            if user:
                value = 0.0
                for q in range(n):
                    value += chi[s, q] * z[q]
                chi_z[s, i] = value
            else:
                value = z[s] * e
                for q in range(n):
                    value += own[q] * k[q] * (z[s] * k[q] - z[q] * k[s])
                chi_z[s, i] = own[s] * (value / crowd)
            for q in range(n):
                sums[s, q] += w[i] * chi[s, q]
    return CONVERGED


@_jit
def solve_small(matrix, rhs):
    """Solve in place a small system (S, S) x (S,), pivots by size."""
    n = rhs.size
    for p in range(n):
        best = p
        for i in range(p + 1, n):
            if abs(matrix[i, p]) > abs(matrix[best, p]):
                best = i
        if best != p:
            for j in range(n):
                matrix[p, j], matrix[best, j] = matrix[best, j], matrix[p, j]
            rhs[p], rhs[best] = rhs[best], rhs[p]
        for i in range(p + 1, n):
            factor = matrix[i, p] / matrix[p, p]
            for j in range(p, n):
                matrix[i, j] -= factor * matrix[p, j]
            rhs[i] -= factor * rhs[p]
    for p in range(n - 1, -1, -1):
        for j in range(p + 1, n):
            rhs[p] -= matrix[p, j] * rhs[j]
        rhs[p] /= matrix[p, p]


@_jit
def least_mu(u, w, z, amount):
    """Chemical potentials (S,) of point ions; ions with a size need at least as much."""
    mu = np.empty(z.size)
    for s in range(z.size):
        top = (-z[s] * u).max()
        mu[s] = math.log(amount[s] / (w @ np.exp(-z[s] * u - top))) - top
    return mu


@_jit
def settle(u, mu, w, ions, amount, held, level):
    """Bring ``mu`` (S,), in place, to where a closed cell at ``u`` holds its amounts to ``level``.

    A convex problem in S unknowns. Newton's method in the logarithms of the amounts, exact for
    point ions; the derivative along the step decides how far to go. Returns a status.
    """
    z, user = ions[0], ions[5]
    c, sums = held[2], held[4]
    n = z.size
    least = np.full(n, -np.inf)
    if not user:
        least = least_mu(u, w, z, amount)
        mu[:] = np.maximum(mu, least)
    status = state(u, mu, w, ions, held)
    spread = u.max() - u.min()
    last = np.inf
    tries = 0
    while status == CONVERGED and tries < MOST_TRIES:
        mass = c @ w
        gap = amount - mass
        worst = np.abs(gap / amount).max()
        if not worst > level or (worst < 1e-9 and worst > 0.25 * last):
            break
        last = worst
        step = mass * np.log(amount / mass)
        solve_small(sums + np.diag(1e-12 * mass), step)
        if not gap @ step > 0.0:
            step = gap.copy()
            solve_small(sums + np.diag(1e-12 * amount), step)
        descent = gap @ step
        if not np.isfinite(descent):
            return NOT_FINITE
        # Where the amount hardly answers to mu, no step beyond the range of the potential.
        share = min(1.0, ((4.0 + 0.5 * np.abs(z) * spread) / (np.abs(step) + 1e-300)).min())
        start = mu.copy()
        while True:
            mu[:] = np.maximum(start + share * step, least)
            tries += 1
            status = state(u, mu, w, ions, held)
            if status != CONVERGED:
                share *= 0.25
                if share < 1e-6:
                    return status
                continue
            ahead = (amount - c @ w) @ step
            if ahead >= -0.5 * descent or tries >= MOST_TRIES:
                break
            share *= max(0.1, min(0.5, descent / (descent - ahead)))
    return status


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
def direction(a, w, r, z, chi_z, sums, closed, g, gap, step, change):
    """Fill ``step`` (N,) and ``change`` (S,) with the Newton step of J in u and mu.

    With ``B_s = w chi_z_s`` and T the Hessian in u, ``Y = sums - B^T T^-1 B`` is left for mu. Since
    ``sum_t z_t B_t = T 1 - b`` (b: coupling to the electrodes) its rows times the valences add up
    to ``B_s.y_b`` and what sits on held nodes. The diagonal is taken from there, where strong
    screening leaves almost nothing of the difference.
    """
    n, species = w.size, z.size
    diagonal = np.zeros(n)
    off = np.empty(n - 1)
    for i in range(n - 1):
        off[i] = -a[i]
        diagonal[i] += a[i]
        diagonal[i + 1] += a[i]
    for s in range(species):
        for i in range(n):
            diagonal[i] += z[s] * w[i] * chi_z[s, i]
    rows = species + 2 if closed else 1
    rhs = np.zeros((rows, n))
    rhs[0] = g
    held = np.zeros(species)
    if closed:
        for s in range(species):
            for i in range(n):
                rhs[2 + s, i] = w[i] * chi_z[s, i]
    for end in range(2):
        if r[end] > 0.0:
            diagonal[-end] += r[end]
            rhs[1 if closed else 0, -end] += r[end] if closed else 0.0
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
    b = rhs[2:].copy()
    upper = np.empty(n)
    pivot = 1.0 / diagonal[0]
    upper[0] = off[0] * pivot
    for j in range(rows):
        rhs[j, 0] *= pivot
    for i in range(1, n):
        pivot = 1.0 / (diagonal[i] - off[i - 1] * upper[i - 1])
        upper[i] = off[i] * pivot if i < n - 1 else 0.0
        for j in range(rows):
            rhs[j, i] = (rhs[j, i] - off[i - 1] * rhs[j, i - 1]) * pivot
    for i in range(n - 2, -1, -1):
        for j in range(rows):
            rhs[j, i] -= upper[i] * rhs[j, i + 1]
    step[:] = rhs[0]
    change[:] = 0.0
    if not closed:
        return
    left = np.zeros((species, species))
    for s in range(species):
        change[s] = gap[s]
        row = held[s]
        for i in range(n):
            change[s] += b[s, i] * rhs[0, i]
            row += b[s, i] * rhs[1, i]
        for t in range(species):
            overlap = 0.0
            for i in range(n):
                overlap += b[s, i] * rhs[2 + t, i]
            left[s, t] = sums[s, t] - overlap
        if z[s] != 0.0:
            for t in range(species):
                if t != s:
                    row -= left[s, t] * z[t]
            left[s, s] = row / z[s]
        left[s, s] += 1e-15 * sums[s, s]
    solve_small(left, change)
    for s in range(species):
        for i in range(n):
            step[i] += change[s] * rhs[2 + s, i]


@_jit
def relaxed(u, mu, w, ions, amount, closed, held):
    """`settle` for a closed cell, `state` against a reservoir."""
    if closed:
        return settle(u, mu, w, ions, amount, held, 1e-3)
    return state(u, mu, w, ions, held)


@_jit
def equilibrium(u, mu, log_c, log_gamma, a, w, f, r, v, ions, amount, closed, tol, limit):
    """Minimise J from ``u`` (N,) and ``mu`` (S,), in place; ``log_c`` and ``log_gamma`` likewise.

    In a closed cell mu is settled at every trial, so that the search runs on the convex function
    ``min over mu of J``. A step is taken whole unless the derivative of that function behind it is
    positive and more than half of what it was in front: a test on derivatives, which stays sharp
    down to rounding. Returns ``(c, chi_z (S, N), iterations, last full step, status)``.
    """
    z, user = ions[0], ions[5]
    n, species = u.size, z.size
    c, chi_z = np.full((species, n), np.nan), np.full((species, n), np.nan)
    sums = np.empty((species, species))
    held = (log_c, log_gamma, c, chi_z, sums)
    g, step = np.empty(n), np.empty(n)
    gap, change = np.zeros(species), np.zeros(species)
    sure_step = 1e-3 if user else 0.2
    size = np.inf
    iteration = short = 0
    status = relaxed(u, mu, w, ions, amount, closed, held)
    if status != CONVERGED:
        return c, chi_z, iteration, size, status
    status = EXHAUSTED
    while iteration < limit:
        iteration += 1
        imbalance(u, a, w, f, r, v, z, c, g)
        if closed:
            gap = amount - c @ w
        direction(a, w, r, z, chi_z, sums, closed, g, gap, step, change)
        previous = size
        size = np.abs(step).max()
        top = max(1.0, np.abs(u).max())
        descent = g @ step
        if not np.isfinite(size + descent):
            status = NOT_FINITE
            break
        sure = np.abs(z).max() * size <= sure_step
        # Where everything is packed or empty nothing screens, and the whole step is astronomic.
        share = min(1.0, 3.0 * (top + 10.0) / size) if size > 0.0 else 1.0
        unsettled = np.abs(gap / amount).max()
        start, old_log_c, old_log_gamma = mu.copy(), log_c.copy(), log_gamma.copy()
        while True:
            trial = u + share * step
            mu[:] = start + share * change
            found = relaxed(trial, mu, w, ions, amount, closed, held)
            if found != CONVERGED:
                share *= 0.25
                if share < 1e-6:
                    return c, chi_z, iteration, size, found
                log_c[:] = old_log_c
                log_gamma[:] = old_log_gamma
                continue
            if sure:
                break
            imbalance(trial, a, w, f, r, v, z, c, g)
            ahead = g @ step
            if ahead >= -0.5 * descent:
                break
            if share < 1e-5:
                short += 1
                break
            share *= max(0.1, min(0.5, descent / (descent - ahead)))
        u[:] = trial
        if short > 2:
            status = STALLED
            break
        # Rounding floor: small steps that no longer shrink cannot be improved in float64.
        floor = sure and size <= 1e-11 * top and size > 0.25 * previous
        if sure and share == 1.0 and ((size <= tol and unsettled <= 1e-9) or floor):
            status = CONVERGED if size <= 100.0 * tol else STALLED
            break
    if closed:
        settle(u, mu, w, ions, amount, held, 1e-13)
        for s in range(species):
            scale = amount[s] / (c[s] @ w)
            c[s] *= scale
            log_c[s] += math.log(scale)
    return c, chi_z, iteration, size, status
