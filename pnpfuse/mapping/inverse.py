"""From (n, b) back to a cell: the charge ratio whose interface lies at b."""

from __future__ import annotations

import math

from scipy.optimize import brentq

from pnpfuse.mapping.cells import above_zero, two_species
from pnpfuse_solvers import Cell, solve_equilibrium

# Steps of ln r away from the strong field's answer grow by this factor until b lies between two.
_FIRST, _GROWTH, _FARTHEST = 1e-3, 4.0, 40.0
# b is met at least this closely; a cell that jumps across b by more does not determine it.
_CLOSE = 5e-9
# How far a voltage that would do is looked for, in doublings.
_DOUBLINGS = 12


def cell_with(n: float, b: float, *, voltage: float = 20.0) -> Cell:
    """Return the cell that stands for (n, b): the inverse of `hyperparameters_from`.

    The species are "shared", of valence +1, and "specific", of valence -r, amounts as 1 to 1/r;
    the charge ratio r = l*/l_m is found such that the interface lies at b.

    Parameters
    ----------
    n : float
        Cell length in Debye lengths.
    b : float
        Interface over the length from x = 0, above 0 and below 1.
    voltage : float
        Electrodes at -voltage (x = 0) and +voltage, in units of kB T/e; positive.

    Returns
    -------
    Cell
        Closed; solved as it is, its interface lies at b to 1e-8 of its length.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what would do; also where the numbers do not
        determine the interface of a cell near b, as in a long cell at a low voltage, which is
        neutral in the middle.

    Notes
    -----
    In the strong field b = r/(1 + r), from where the root is looked for. Mirrored, with all charges
    divided by r, a cell is that of 1/r and 1 - b at r times the voltage: b near 1 is therefore
    reached at voltages at which 1 - b is not. A cell with a neutral middle determines b less well
    than 1e-8; the solution's ``interface_uncertainty`` says how well.

    Examples
    --------
    >>> cell = cell_with(4, 3 / 11)
    >>> round(-cell.ions[1].valence, 4)
    0.375
    """
    n, b, voltage = above_zero("n", n), above_zero("b", b), above_zero("voltage", voltage)
    if not b < 1.0:
        raise ValueError(f"b: got {b:.9g}; give a ratio above 0 and below 1")
    found = _search(n, b, voltage)
    if isinstance(found, Cell):
        return found
    raise ValueError(f"b: got {b:.9g}, where {found}; {_remedy(n, b, voltage)}")


def _search(n: float, b: float, voltage: float) -> Cell | str:
    """The cell, or why there is none."""
    try:
        low, high = _bracket(n, b, voltage)
        if low < high:
            low = brentq(_beyond, low, high, (n, b, voltage), xtol=1e-15, rtol=1e-15)
        missed = abs(_beyond(low, n, b, voltage))
    except _Undetermined as error:
        return str(error)
    if missed > _CLOSE:
        return f"cells of n = {n:g} at {voltage:g} kB T/e jump across it by {missed:.1g}"
    return _cell(low, n, voltage)


class _Undetermined(Exception):
    """A cell on the way has no interface to compare with b."""


def _cell(log_r: float, n: float, voltage: float) -> Cell:
    return two_species(1.0, math.exp(-log_r), n, voltage)


def _beyond(log_r: float, n: float, b: float, voltage: float) -> float:
    """By how much the interface lies beyond b, as a share of the length."""
    at = f"a cell of n = {n:g} and charge ratio {math.exp(log_r):.4g} at {voltage:g} kB T/e"
    try:
        solution = solve_equilibrium(_cell(log_r, n, voltage), throw=False)
    except ValueError:  # scales that float64 does not hold
        raise _Undetermined(f"{at} is out of range") from None
    if solution.attrs["outcome"] != "converged":
        raise _Undetermined(f"{at} is not solved ({solution.attrs['outcome']})")
    place = float(solution["interface"] / solution["length"])
    if not math.isnan(place):
        return place - b
    shared, specific = solution["concentration"].values
    if (shared > specific).all():
        return 1.0 - b
    if (shared < specific).all():
        return -b
    raise _Undetermined(f"{at} has no interface ({solution['interface_reason'].item()})")


def _bracket(n: float, b: float, voltage: float) -> tuple[float, float]:
    """Two ln r with interfaces before and beyond b; twice the same where it is met."""
    start = here = math.log(b) - math.log1p(-b)
    value = _beyond(here, n, b, voltage)
    step = math.copysign(_FIRST, -value)
    while value != 0.0:
        there = here + step
        if abs(there - start) > _FARTHEST:
            raise _Undetermined(f"no charge ratio does at n = {n:g} and {voltage:g} kB T/e")
        after = _beyond(there, n, b, voltage)
        if after * value <= 0.0:
            return min(here, there), max(here, there)
        here, value, step = there, after, step * _GROWTH
    return here, here


def _remedy(n: float, b: float, voltage: float) -> str:
    """What would do instead."""
    for k in range(1, _DOUBLINGS + 1):
        if isinstance(_search(n, b, voltage * 2.0**k), Cell):
            return f"a voltage of {voltage * 2.0**k:g} does, or give a smaller n"
    return "give a smaller n, another voltage, or a b further from 0 and 1"
