"""Where the two kinds of ions balance: position, uncertainty and width of the interface."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from pnpfuse_solvers.grid import Array

# An interface whose position is uncertain by more than this share of the cell is not reported.
UNDETERMINED = 0.01
# Width: from 10 % to 90 % of the one kind among all ions.
WIDTH_LEVEL = float(np.log(9.0))
_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(4)


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

    @cached_property
    def balance(self) -> Array | None:
        """ln(sum of cations / sum of anions) at the nodes (N,); None where one kind is missing."""
        if not ((self.z > 0).any() and (self.z < 0).any()):
            return None
        return _log_sum(self.log_c[self.z > 0]) - _log_sum(self.log_c[self.z < 0])

    @cached_property
    def balance_slope(self) -> Array:
        """Derivative of the balance at the nodes (N,): a difference of weighted means."""
        means = []
        for kind in (self.z > 0, self.z < 0):
            weight = np.exp(self.log_c[kind] - _log_sum(self.log_c[kind]))
            means.append((weight * self.slope[kind]).sum(axis=0))
        return means[0] - means[1]

    def crossings(self, level: float) -> list[float]:
        """Positions inside the cell where the balance crosses ``level``."""
        assert self.balance is not None
        gap = self.balance - level
        sign = np.sign(gap)
        found = []
        for i in np.flatnonzero(sign[:-1] * sign[1:] < 0.0):
            near = slice(i, i + 2)
            cubic = _ends(self.x[near], gap[near], self.balance_slope[near])
            part = brentq(lambda t, cubic=cubic: _cubic(t, *cubic).item(), 0.0, 1.0, xtol=1e-15)
            found.append(float(self.x[i] + part * (self.x[i + 1] - self.x[i])))
        for i in np.flatnonzero(gap[1:-1] == 0.0) + 1:
            if sign[i - 1] * sign[i + 1] < 0.0:
                found.append(float(self.x[i]))
        return sorted(found)

    def amounts(self, s: int, edge: int, part: float) -> tuple[float, float]:
        """Amount of species s before a point, and in all, up to a common factor.

        The point lies in the interval ``edge``, at the share ``part`` of its length.
        """
        h = np.diff(self.x)
        top = self.log_c[s].max()
        cubics = _ends(self.x, self.log_c[s] - top, self.slope[s])
        at = 0.5 * (1.0 + _GAUSS_X)
        pieces = 0.5 * h * (np.exp(_cubic(at, *cubics)) @ _GAUSS_W)
        cut = [end[edge] for end in cubics]
        last = 0.5 * part * h[edge] * (np.exp(_cubic(part * at, *cut)) @ _GAUSS_W)
        return float(pieces[:edge].sum() + last), float(pieces.sum())


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


def locate(profiles: Profiles, error: float) -> Interface:
    """Find the interface c_+(b) = c_-(b) (PMR Eq. 21) from the logarithmic balance.

    Parameters
    ----------
    profiles : Profiles
    error : float
        Numerical error of the balance: where it is smaller than this its sign means nothing.

    Returns
    -------
    Interface
    """
    x, balance = profiles.x, profiles.balance
    if balance is None:
        return _without("none: the cell does not hold ions of both signs")
    if not np.isfinite(balance).all():
        return _without("not determined: the solve did not give finite concentrations")
    unsure = np.abs(balance) <= error
    sure = np.sign(np.where(unsure, 0.0, balance))
    signs = sure[sure != 0.0]
    if signs.size == 0:
        return _without("not determined: cations and anions balance over the whole cell", 0.5, 0.5)
    changes = int(np.count_nonzero(np.diff(signs)))
    if changes == 0:
        if unsure.any():
            where = x[unsure]
            return _without(
                f"not determined: the ions balance, within the solver's error, from "
                f"{where[0]:.3g} to {where[-1]:.3g} of the cell, without changing order"
            )
        kind = "cations" if signs[0] > 0 else "anions"
        return _without(f"none: {kind} are in the majority everywhere")
    crossings = profiles.crossings(0.0)
    if changes > 1:
        places = ", ".join(f"{place:.4g}" for place in crossings)
        return _without(f"several: the ions balance at {places} of the cell")
    sign = float(signs[-1])
    first = profiles.crossings(-sign * error)[0]
    last = profiles.crossings(sign * error)[-1]
    uncertainty, middle = 0.5 * (last - first), 0.5 * (first + last)
    if uncertainty > UNDETERMINED:
        return _without(
            f"not determined: the ions balance, within the solver's error, from {first:.3g} to "
            f"{last:.3g} of the cell (a neutral bulk)",
            middle,
            uncertainty,
        )
    # Nodes with a balance of exactly 0 side by side show no crossing: take their middle.
    position = crossings[0] if crossings else middle
    before = [p for p in profiles.crossings(-sign * WIDTH_LEVEL) if p < position]
    after = [p for p in profiles.crossings(sign * WIDTH_LEVEL) if p > position]
    width = (after[0] if after else 1.0) - (before[-1] if before else 0.0)
    return Interface(position, uncertainty, width, position)


def separation(profiles: Profiles, split: float) -> Array:
    """Return the share (S,) of each species that lies on its own side of ``split``.

    A species' own side is the one where ions of its sign are in the majority. NaN for an uncharged
    species and where there is no split.
    """
    z, balance = profiles.z, profiles.balance
    share = np.full(z.size, np.nan)
    if balance is None or not np.isfinite(split):
        return share
    rising = balance[-1] >= balance[0]
    edge = int(
        np.clip(np.searchsorted(profiles.x, split, side="right") - 1, 0, profiles.x.size - 2)
    )
    part = float((split - profiles.x[edge]) / (profiles.x[edge + 1] - profiles.x[edge]))
    for s in range(z.size):
        if z[s] != 0.0:
            before, total = profiles.amounts(s, edge, part)
            share[s] = (total - before if (z[s] > 0) == rising else before) / total
    return share


def _without(reason: str, split: float = np.nan, uncertainty: float = np.nan) -> Interface:
    return Interface(np.nan, uncertainty, np.nan, split, reason)


def _log_sum(log_c: Array) -> Array:
    return np.logaddexp.reduce(log_c, axis=0)


def _ends(x: Array, values: Array, slopes: Array) -> tuple[Array, Array, Array, Array]:
    """Values and slopes at both ends of every interval, each (N-1, 1), lengths scaled to 1.

    Where a mesh does not resolve a layer the slope at a node says nothing about the interval: it
    is cut so that the cubic cannot shoot over by more than about 1, which changes no resolved one.
    """
    h = np.diff(x)
    most = 1.0 + 3.0 * np.abs(np.diff(values))
    left = np.clip(h * slopes[:-1], -most, most)
    right = np.clip(h * slopes[1:], -most, most)
    return values[:-1, None], left[:, None], values[1:, None], right[:, None]


def _cubic(t: Array | float, first: Array, left: Array, last: Array, right: Array) -> Array:
    """Hermite's cubic at t on [0, 1]."""
    rest = 1.0 - t
    return rest * rest * ((1.0 + 2.0 * t) * first + t * left) + t * t * (
        (3.0 - 2.0 * t) * last - rest * right
    )
