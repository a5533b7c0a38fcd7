"""Compiled steps in time: Rosenbrock's method with error control, and backward Euler."""

import numpy as np
from numba import njit

from pnpfuse_solvers import compiled, elimination, transport
from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.elimination import factorise, room, solve
from pnpfuse_solvers.transport import imbalance, newton, slopes

# Not cached by themselves: they are part of `march` and `euler`, which know the files below them.
_inner = njit(error_model="numpy")
_jit = jit(error_model="numpy")

DONE, GOING, TOO_SHORT = 0, 1, 2
# Share of a species' amount below which errors count as absolute.
FLOOR = 1e-3
# A step is repeated at this share of its length where it leaves a concentration far below 0.
RETREAT = 0.25


@_jit
def step_of(clock):
    """What is left of the time, the step that is wanted, and the one to try."""
    left = clock[1] - clock[0]
    if left <= 1e-12 * clock[1]:
        return 0.0, 0.0, 0.0
    wanted = min(clock[2], clock[3])
    # The last two steps share what is left, lest the last be a sliver.
    return left, wanted, left if left <= wanted else min(wanted, 0.5 * left)


@_inner
def mix(out, factors, terms, count):
    """out += sum over the first ``count`` of factors times terms, for arrays (M,) and (., M).

    Four terms at a time: few passes over memory.
    """
    m = 0
    while m + 4 <= count:
        f0, f1, f2, f3 = factors[m], factors[m + 1], factors[m + 2], factors[m + 3]
        t0, t1, t2, t3 = terms[m], terms[m + 1], terms[m + 2], terms[m + 3]
        for i in range(out.size):
            out[i] += (f0 * t0[i] + f1 * t1[i]) + (f2 * t2[i] + f3 * t3[i])
        m += 4
    while m < count:
        factor, term = factors[m], terms[m]
        for i in range(out.size):
            out[i] += factor * term[i]
        m += 1


@_inner
def stages(y, tau, v, turn, system, table, factors, k, state, flow, right):
    """Fill ``k`` (8, K, N) with the stages of a step from ``y`` (K, N), ``state`` with its end.

    ``v`` (8, 2) are the electrodes' potentials at the stages, ``turn`` (2,) tau times their
    derivative at the start.
    """
    gamma, alpha, mixed, shift, _dense = table
    n = y.shape[1]
    flat = k.reshape(k.shape[0], -1)
    rate = 1.0 / (gamma * tau)
    slopes(y[0], y[1:], system.h, system.z, system.d, factors.p, factors.q, factors.t)
    factorise(rate, system, factors)
    for j in range(k.shape[0]):
        state[:] = y
        mix(state.reshape(-1), alpha[j], flat, j)
        k[j] = 0.0
        mix(flat[j, n:], mixed[j], flat[:, n:], j)
        imbalance(state[0], state[1:], v[j], system, flow, right)
        for s in range(1, y.shape[0]):
            for i in range(y.shape[1]):
                k[j, s, i] = right[s, i] + system.w[i] / tau * k[j, s, i]
        k[j, 0] = right[0]
        for end in range(2):
            weight = system.r[end] if system.r[end] > 0.0 else 1.0
            k[j, 0, -end] += weight * shift[j] * turn[end]
        solve(system.a, factors, k[j])
    state += k[k.shape[0] - 1]


@_inner
def size_of(error, before, after, amount, w, rtol):
    """Root mean square over the cell of the error of c over what is allowed; the worst species."""
    worst = 0.0
    for s in range(amount.size):
        total = 0.0
        for i in range(w.size):
            top = max(before[1 + s, i], after[1 + s, i]) + FLOOR * amount[s]
            ratio = error[1 + s, i] / top
            total += w[i] * ratio * ratio
        worst = max(worst, total)
    return np.sqrt(worst) / rtol


@_inner
def lift(state, before, amount, w, limit):
    """Bring concentrations just below 0 back above it and amounts back to rounding.

    Returns False where one is further below 0 than ``limit`` amounts.
    """
    for s in range(amount.size):
        total = 0.0
        for i in range(w.size):
            c = state[1 + s, i]
            if not c > 0.0:
                if not c > -limit * amount[s]:
                    return False
                c = 0.1 * before[1 + s, i]
                state[1 + s, i] = c
            total += w[i] * c
        scale = amount[s] / total
        for i in range(w.size):
            state[1 + s, i] *= scale
    return True


@_inner
def between(share, before, after, dense, out):
    """Fill ``out`` (., N) with the state at a share of the step."""
    rest = 1.0 - share
    for m in range(out.shape[0]):
        for i in range(out.shape[1]):
            bend = dense[0, m, i] + share * (dense[1, m, i] + share * dense[2, m, i])
            out[m, i] = rest * before[m, i] + share * (after[m, i] + rest * bend)


def _march(stamp):
    @_jit
    def march(
        y, clock, v, turn, rtol, amount, system, table, times, out, passed, middles, ends, limit
    ):
        """Move ``y`` (K, N) on by Rosenbrock steps, until the end or the room is reached.

        Parameters
        ----------
        y : array (K, N)
            Potential and concentrations; overwritten.
        clock : array (5,)
            Time, end, the next step to try, the longest step, the shortest one; overwritten.
        v, turn : arrays (8, 2), (2,)
            See ``stages``; for a voltage that moves they hold for one attempt only.
        table : (gamma, alpha, mixed, shift, dense)
            Coefficients of ``rosenbrock``.
        times, out : arrays (T,), (T, S, N)
            Where concentrations are wanted; those that are passed are filled.
        passed, middles, ends : arrays (P,), (P, K, N), (P, K, N)
            Filled with times, and with the states in the middle and at the end of each step.
        limit : int
            Number of steps to try.

        Returns ``(steps, attempts, reached, status)``, ``reached`` the outputs that were filled.
        """
        _ = stamp
        species, n = amount.size, y.shape[1]
        factors = room(species, n)
        k = np.empty((8, species + 1, n))
        dense = np.empty((3, species + 1, n))
        state, right, flow = np.empty_like(y), np.empty_like(y), np.empty((species, n - 1))
        steps, attempts, reached = 0, 0, 0
        while steps < passed.size and attempts < limit:
            left, wanted, tau = step_of(clock)
            if left <= 0.0:
                return steps, attempts, reached, DONE
            if tau < clock[4]:
                return steps, attempts, reached, TOO_SHORT
            attempts += 1
            stages(y, tau, v, turn, system, table, factors, k, state, flow, right)
            wrong = size_of(k[7], y, state, amount, system.w, rtol)
            if wrong <= 1.0:
                dense[:] = 0.0
                for m in range(3):
                    mix(dense[m].reshape(-1), table[4][m], k.reshape(8, -1), 8)
                good = lift(state, y, amount, system.w, FLOOR * rtol)
                between(0.5, y, state, dense, middles[steps])
                good = good and lift(middles[steps], y, amount, system.w, FLOOR * rtol)
                ahead = reached
                last = clock[0] + tau if tau < left else clock[1]
                while good and ahead < times.size and times[ahead] <= last:
                    share = (times[ahead] - clock[0]) / tau
                    between(min(max(share, 0.0), 1.0), y, state, dense, right)
                    good = lift(right, y, amount, system.w, FLOOR * rtol)
                    out[ahead] = right[1:]
                    ahead += 1
                if good:
                    reached = ahead
                    clock[0] = last
                    y[:] = state
                    passed[steps], ends[steps] = last, state
                    steps += 1
                    clock[2] = max(
                        clock[2] if tau < wanted else 0.0, tau * min(5.0, 0.9 * wrong**-0.2)
                    )
                else:
                    clock[2] = RETREAT * tau
            elif wrong < np.inf:
                clock[2] = tau * max(0.1, 0.9 * wrong**-0.2)
            else:
                clock[2] = RETREAT * tau
        return steps, attempts, reached, GOING

    return march


def _euler(stamp):
    @_jit
    def euler(y, times, v, system, ends, tol, limit):
        """Fill ``ends`` (T, K, N): one step of backward Euler from each of ``times`` to the next.

        ``times`` (T + 1,) begin where ``y`` (K, N) is, which is overwritten; ``v`` (T, 2) are the
        electrodes' potentials. Returns ``(steps done, Newton steps)``.
        """
        _ = stamp
        a, h, w, f, r, z, d = system
        known = np.empty((z.size, w.size))
        total = 0
        for j in range(v.shape[0]):
            tau = times[j + 1] - times[j]
            if tau > 0.0:
                known[:] = y[1:]
                for end in range(2):
                    if r[end] == 0.0:
                        y[0, -end] = v[j, end]
                used, _size, status = newton(
                    y[0], y[1:], known, 1.0, tau, a, h, w, f, r, v[j], z, d, tol, limit
                )
                total += used
                if status != transport.CONVERGED:
                    return j, total
            ends[j] = y
        return v.shape[0], total

    return euler


_STAMP = compiled.stamp(elimination, transport)
march, euler = _march(_STAMP), _euler(_STAMP)
