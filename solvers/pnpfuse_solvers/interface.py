"""Where the two kinds of ions balance: position, uncertainty and width of the interface."""

from __future__ import annotations

import dataclasses

import numpy as np

from pnpfuse_solvers.grid import Array

# An interface whose position is uncertain by more than this share of the cell is not reported.
UNDETERMINED = 0.01
# Width: from 10 % to 90 % of the one kind among all ions.
WIDTH_LEVEL = float(np.log(9.0))


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


def log_balance(log_c: Array, z: Array) -> Array | None:
    """Return ln(sum of cations / sum of anions) (N,), or None where one kind is missing."""
    if not ((z > 0).any() and (z < 0).any()):
        return None
    return np.logaddexp.reduce(log_c[z > 0], axis=0) - np.logaddexp.reduce(log_c[z < 0], axis=0)


def locate(x: Array, balance: Array | None, error: float) -> Interface:
    """Find the interface c_+(b) = c_-(b) (PMR Eq. 21) from the logarithmic balance.

    Parameters
    ----------
    x : array (N,)
        Nodes on [0, 1].
    balance : array (N,) or None
        ``log_balance`` at the nodes. It is linear in the potential for two species, so linear
        interpolation between nodes is the scheme's own.
    error : float
        Numerical error of the balance: where it is smaller than this its sign means nothing.

    Returns
    -------
    Interface
    """
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
    crossings = _level_crossings(x, balance, 0.0)
    if changes > 1:
        places = ", ".join(f"{place:.4g}" for place in crossings)
        return _without(f"several: the ions balance at {places} of the cell")
    rising = signs[-1] > 0
    low = _level_crossings(x, balance, -error if rising else error)
    high = _level_crossings(x, balance, error if rising else -error)
    first, last = low[0], high[-1]
    uncertainty = 0.5 * (last - first)
    middle = 0.5 * (first + last)
    if uncertainty > UNDETERMINED:
        return _without(
            f"not determined: the ions balance, within the solver's error, from {first:.3g} to "
            f"{last:.3g} of the cell (a neutral bulk)",
            middle,
            uncertainty,
        )
    # Nodes with a balance of exactly 0 side by side show no crossing: take their middle.
    position = crossings[0] if crossings else middle
    return Interface(position, uncertainty, _width(x, balance, position, rising), position)


def _without(reason: str, split: float = np.nan, uncertainty: float = np.nan) -> Interface:
    return Interface(np.nan, uncertainty, np.nan, split, reason)


def _level_crossings(x: Array, values: Array, level: float) -> list[float]:
    """Positions inside the cell where the linear interpolant of ``values`` crosses ``level``."""
    gap = values - level
    found = []
    for i in np.flatnonzero(np.sign(gap[:-1]) * np.sign(gap[1:]) < 0.0):
        found.append(float(x[i] + (x[i + 1] - x[i]) * gap[i] / (gap[i] - gap[i + 1])))
    for i in np.flatnonzero(gap[1:-1] == 0.0) + 1:
        if np.sign(gap[i - 1]) * np.sign(gap[i + 1]) < 0.0:
            found.append(float(x[i]))
    return sorted(found)


def _width(x: Array, balance: Array, position: float, rising: bool) -> float:
    sign = 1.0 if rising else -1.0
    before = [p for p in _level_crossings(x, sign * balance, -WIDTH_LEVEL) if p < position]
    after = [p for p in _level_crossings(x, sign * balance, WIDTH_LEVEL) if p > position]
    return (after[0] if after else 1.0) - (before[-1] if before else 0.0)


def separation(x: Array, c: Array, z: Array, split: float, balance: Array | None) -> Array:
    """Return the share (S,) of each species that lies on its own side of ``split``.

    A species' own side is the one where ions of its sign are in the majority. The share is taken
    from the trapezoidal integrals that define the amounts, so that both sides add up to 1.
    NaN for an uncharged species and where there is no split.
    """
    share = np.full(z.size, np.nan)
    if balance is None or not np.isfinite(split):
        return share
    rising = balance[-1] >= balance[0]
    edge = int(np.clip(np.searchsorted(x, split, side="right") - 1, 0, x.size - 2))
    part = (split - x[edge]) / (x[edge + 1] - x[edge])
    for s in range(z.size):
        if z[s] == 0.0:
            continue
        pieces = 0.5 * (c[s, :-1] + c[s, 1:]) * np.diff(x)
        at_split = c[s, edge] + part * (c[s, edge + 1] - c[s, edge])
        left = pieces[:edge].sum() + 0.5 * (c[s, edge] + at_split) * (split - x[edge])
        fraction = left / pieces.sum()
        share[s] = 1.0 - fraction if (z[s] > 0) == rising else fraction
    return share
