"""Where the two kinds of ions balance: position, uncertainty and width of the interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.exponential import exp
from pnpfuse_solvers.grid import Array

# An interface whose position is uncertain by more than this share of the cell is not reported.
UNDETERMINED = 0.01
# Width: from 10 % to 90 % of the one kind among all ions.
WIDTH_LEVEL = float(np.log(9.0))
# What `find` found.
FOUND, ONE_KIND, NOT_FINITE, EVERYWHERE, STRETCH, CATIONS, ANIONS, SEVERAL, NEUTRAL = range(9)

# None of these calls a kernel of another file (but ``exp``, which does not change).
_jit = jit(error_model="numpy", nogil=True, fastmath={"contract"})
_nodes, _weights = np.polynomial.legendre.leggauss(3)
_GAUSS_X, _GAUSS_W = tuple(0.5 * (1.0 + _nodes)), tuple(0.5 * _weights)


@dataclasses.dataclass(frozen=True)
class Profiles:
    """Logarithmic concentrations with their slopes: cubics between the nodes.

    Attributes
    ----------
    x : array (N,)
        Nodes on [0, 1].
    log_c, slope : arrays (S, N)
        ln of the concentrations and its derivative, -z u', from Gauss's law.
    z : array (S,)
        Valences.
    """

    x: Array
    log_c: Array
    slope: Array
    z: Array


@dataclasses.dataclass(frozen=True)
class Interface:
    """Position of the interface on [0, 1].

    Attributes
    ----------
    position : float
        Where cations and anions are equally many; NaN where there is no such point, where there
        are several, or where it is not determined.
    uncertainty : float
        Half the length over which the balance lies below the solver's error; NaN without one.
    width : float
        Length over which the share of the one kind goes from 10 % to 90 %, cut at the electrodes;
        NaN without a position.
    split : float
        Point at which the cell is divided to count separation: the position, or the middle of the
        undetermined stretch; NaN without either.
    reason : str
        Why there is no position; empty where there is one.
    """

    position: float
    uncertainty: float
    width: float
    split: float
    reason: str = ""


def locate(profiles: Profiles, error: float | Array) -> Interface:
    """Find the interface c_+(b) = c_-(b) (PMR Eq. 21) from the logarithmic balance.

    Parameters
    ----------
    profiles : Profiles
    error : float or array (N,)
        Numerical error of the balance: where it is smaller than this its sign means nothing.

    Returns
    -------
    Interface
    """
    p = profiles
    log_c, slope = np.ascontiguousarray(p.log_c), np.ascontiguousarray(p.slope)
    code, position, uncertainty, width, split, first, last = find(
        p.x, log_c, slope, p.z, error + np.zeros(p.x.size)
    )
    places = places_of(p.x, log_c, slope, p.z) if code == SEVERAL else ()
    return Interface(position, uncertainty, width, split, explain(code, first, last, places))


def explain(code: int, first: float, last: float, crossed: Sequence[float] | Array = ()) -> str:
    """Say why there is no interface; empty where there is one. Positions on [0, 1]."""
    if code == FOUND:
        return ""
    places = ", ".join(f"{place:.4g}" for place in crossed) or "several places"
    stretch = f"within the solver's error, from {first:.3g} to {last:.3g} of the cell"
    return {
        ONE_KIND: "none: the cell does not hold ions of both signs",
        NOT_FINITE: "not determined: the solve did not give finite concentrations",
        EVERYWHERE: "not determined: cations and anions balance over the whole cell",
        STRETCH: f"not determined: the ions balance, {stretch}, without changing order",
        CATIONS: "none: cations are in the majority everywhere",
        ANIONS: "none: anions are in the majority everywhere",
        SEVERAL: f"several: the ions balance at {places} of the cell",
        NEUTRAL: f"not determined: the ions balance, {stretch} (a neutral bulk)",
    }[code]


def separation(profiles: Profiles, split: float) -> Array:
    """Return the share (S,) of each species that lies on its own side of ``split``.

    A species' own side is the one where ions of its sign are in the majority. NaN for an uncharged
    species and where there is no split.
    """
    p = profiles
    return shares(p.x, np.ascontiguousarray(p.log_c), np.ascontiguousarray(p.slope), p.z, split)


@_jit
def _log_sum(log_c, slope, kind, i):
    """ln of the summed concentrations of a kind at node i, and its slope."""
    top = -np.inf
    for s in range(kind.size):
        if kind[s]:
            top = max(top, log_c[s, i])
    total = tilt = 0.0
    for s in range(kind.size):
        if kind[s]:
            weight = np.exp(log_c[s, i] - top)
            total += weight
            tilt += weight * slope[s, i]
    return top + np.log(total), tilt / total


@_jit
def balance_of(log_c, slope, z):
    """ln(sum of cations / sum of anions) at the nodes (N,), and its slope (N,)."""
    n = log_c.shape[1]
    balance, slopes = np.empty(n), np.empty(n)
    cations, anions = z > 0.0, z < 0.0
    if cations.sum() == 1 and anions.sum() == 1:
        p, m = np.argmax(z), np.argmin(z)
        for i in range(n):
            balance[i] = log_c[p, i] - log_c[m, i]
            slopes[i] = slope[p, i] - slope[m, i]
        return balance, slopes
    for i in range(n):
        up, up_slope = _log_sum(log_c, slope, cations, i)
        down, down_slope = _log_sum(log_c, slope, anions, i)
        balance[i] = up - down
        slopes[i] = up_slope - down_slope
    return balance, slopes


@_jit
def _cut(h, slope, change):
    """Slope times h at a node, for an interval over which the value changes by ``change``.

    Where a mesh does not resolve a layer the slope at a node says nothing about the interval: it
    is cut so that the cubic cannot shoot over by more than about 1, which changes no resolved one.
    """
    most = 1.0 + 3.0 * abs(change)
    return min(max(h * slope, -most), most)


@_jit
def _cubic(t, first, left, last, right):
    """Hermite's cubic at t on [0, 1]: values first, last and slopes left, right at the ends."""
    rest = 1.0 - t
    return rest * rest * ((1.0 + 2.0 * t) * first + t * left) + t * t * (
        (3.0 - 2.0 * t) * last - rest * right
    )


@_jit
def _root(first, left, last, right):
    """Where on [0, 1] a cubic with ends of opposite signs is 0: bisection within secant steps."""
    low, high = 0.0, 1.0
    at_low, at_high = first, last
    for k in range(100):
        # Secants converge fast, every third step halves the interval whatever they do.
        t = 0.5 * (low + high) if k % 3 == 2 else low - at_low * (high - low) / (at_high - at_low)
        if not low < t < high:
            t = 0.5 * (low + high)
        value = _cubic(t, first, left, last, right)
        if value == 0.0 or high - low < 2e-16:
            return t
        if (value < 0.0) == (at_low < 0.0):
            low, at_low = t, value
        else:
            high, at_high = t, value
        if abs(value) < 1e-16 * (abs(first) + abs(last)):
            return t
    return 0.5 * (low + high)


@_jit
def _crossing(x, balance, slopes, i, level, end):
    """Where on edge i the balance crosses ``level``; its given ``end`` (0 or 1) if it does not."""
    h = x[i + 1] - x[i]
    first, last = balance[i] - level, balance[i + 1] - level
    if not first * last < 0.0:
        return x[i] + end * h
    change = last - first
    left, right = _cut(h, slopes[i], change), _cut(h, slopes[i + 1], change)
    return x[i] + h * _root(first, left, last, right)


@_jit
def crossings(x, balance, slopes, level):
    """Positions inside the cell where the balance crosses ``level``, increasing."""
    found = np.empty(x.size)
    count = 0
    for i in range(x.size - 1):
        first, last = balance[i] - level, balance[i + 1] - level
        if i > 0 and first == 0.0 and (balance[i - 1] - level) * last < 0.0:
            found[count] = x[i]
            count += 1
        if first * last < 0.0:
            found[count] = _crossing(x, balance, slopes, i, level, 0.0)
            count += 1
    return found[:count]


@_jit
def places_of(x, log_c, slope, z):
    """Positions inside the cell where the two kinds of ions balance."""
    balance, slopes = balance_of(log_c, slope, z)
    return crossings(x, balance, slopes, 0.0)


@_jit
def find(x, log_c, slope, z, error):
    """Locate the interface: ``(code, position, uncertainty, width, split, first, last)``.

    ``first`` and ``last`` bound the stretch where the balance is below ``error`` (N,).
    """
    nan = np.nan
    if not ((z > 0.0).any() and (z < 0.0).any()):
        return ONE_KIND, nan, nan, nan, nan, nan, nan
    balance, slopes = balance_of(log_c, slope, z)
    if not np.isfinite(balance).all():
        return NOT_FINITE, nan, nan, nan, nan, nan, nan
    changes = 0
    sign = 0.0  # of the balance, where it was last sure
    first = last = nan  # unsure nodes
    before = after = 0  # the sure nodes on both sides of a change
    for i in range(x.size):
        if abs(balance[i]) <= error[i]:
            first = x[i] if np.isnan(first) else first
            last = x[i]
            continue
        here = np.sign(balance[i])
        if sign != 0.0 and here != sign:
            changes += 1
            after = i
        elif changes == 0:
            before = i
        sign = here
    if sign == 0.0:
        return EVERYWHERE, nan, 0.5, nan, 0.5, first, last
    if changes == 0:
        if not np.isnan(first):
            return STRETCH, nan, nan, nan, nan, first, last
        return CATIONS if sign > 0.0 else ANIONS, nan, nan, nan, nan, first, last
    if changes > 1:
        return SEVERAL, nan, nan, nan, nan, first, last
    left, right = max(error[before], error[before + 1]), max(error[after - 1], error[after])
    first = _crossing(x, balance, slopes, before, -sign * left, 0.0)
    last = _crossing(x, balance, slopes, after - 1, sign * right, 1.0)
    uncertainty, middle = 0.5 * (last - first), 0.5 * (first + last)
    if uncertainty > UNDETERMINED:
        return NEUTRAL, nan, uncertainty, nan, middle, first, last
    # Nodes with a balance of exactly 0 side by side show no crossing: take their middle.
    places = crossings(x, balance, slopes, 0.0)
    position = places[0] if places.size else middle
    start, end = 0.0, 1.0
    for place in crossings(x, balance, slopes, -sign * WIDTH_LEVEL):
        if place < position:
            start = place
    for place in crossings(x, balance, slopes, sign * WIDTH_LEVEL)[::-1]:
        if place > position:
            end = place
    return FOUND, position, uncertainty, end - start, position, first, last


@_jit
def shares(x, log_c, slope, z, split):
    """See `separation`: (S,)."""
    share = np.full(z.size, np.nan)
    if not (np.isfinite(split) and (z > 0.0).any() and (z < 0.0).any()):
        return share
    n = x.size
    ends = np.array([0, n - 1])
    balance, _ = balance_of(log_c[:, ends], slope[:, ends], z)
    rising = balance[1] >= balance[0]
    edge = min(max(np.searchsorted(x, split, side="right") - 1, 0), n - 2)
    part = (split - x[edge]) / (x[edge + 1] - x[edge])
    first, last, left, right, piece = np.empty((5, n - 1))
    h = x[1:] - x[:-1]
    for s in range(z.size):
        if z[s] == 0.0:
            continue
        row, tilt = log_c[s], slope[s]
        top = row.max()
        for i in range(n - 1):
            first[i], last[i] = row[i] - top, row[i + 1] - top
            left[i] = _cut(h[i], tilt[i], last[i] - first[i])
            right[i] = _cut(h[i], tilt[i + 1], last[i] - first[i])
            piece[i] = 0.0
        cut = 0.0
        for k in range(3):
            t, weight = _GAUSS_X[k], _GAUSS_W[k]
            for i in range(n - 1):
                piece[i] += weight * exp(_cubic(t, first[i], left[i], last[i], right[i]))
            cut += weight * exp(_cubic(part * t, first[edge], left[edge], last[edge], right[edge]))
        before, total = part * h[edge] * cut, 0.0
        for i in range(n - 1):
            total += h[i] * piece[i]
            if i < edge:
                before += h[i] * piece[i]
        share[s] = (total - before if (z[s] > 0.0) == rising else before) / total
    return share


@_jit
def boltzmann_profiles(u, slope, c, excess, z):
    """ln c and its slope (S, N) at equilibrium: linear in u, also where c underflows.

    ``excess`` (S,) is what c is too large by (see ``kernels.levels``), as far as it is known.
    """
    log_c, tilt = np.empty(c.shape), np.empty(c.shape)
    for s in range(z.size):
        top = 0 if c[s, 0] > c[s, -1] else u.size - 1
        if c[s, top] < 1e-200:
            top = np.argmax(c[s])
        level = np.log(c[s, top]) + z[s] * u[top]
        if excess[s] > -1.0:  # not where it is unknown
            level -= np.log1p(excess[s])
        for i in range(u.size):
            log_c[s, i] = level - z[s] * u[i]
            tilt[s, i] = -z[s] * slope[i]
    return log_c, tilt


@_jit
def find_each(x, u, slope, c, excess, z, error):
    """`find` and `shares` for each of C equilibria: codes (C,), numbers (C, 6), shares (C, S).

    ``error`` (C, N) is that of u. Cells whose u is NaN are left out.
    """
    cells, species = z.shape
    codes, numbers = np.full(cells, NOT_FINITE), np.full((cells, 6), np.nan)
    share = np.full((cells, species), np.nan)
    for k in range(cells):
        if np.isnan(u[k, 0]):
            continue
        log_c, tilt = boltzmann_profiles(u[k], slope[k], c[k], excess[k], z[k])
        found = find(x[k], log_c, tilt, z[k], error[k] * (z[k].max() - z[k].min()))
        codes[k] = found[0]
        numbers[k] = found[1:]
        share[k] = shares(x[k], log_c, tilt, z[k], numbers[k, 3])
    return codes, numbers, share
