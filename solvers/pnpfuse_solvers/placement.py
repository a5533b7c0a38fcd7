"""Where a cell needs mesh nodes: before it is solved, and after its solution."""

import numpy as np

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Discrete, Solution, discretise
from pnpfuse_solvers.grid import Array

# Share of the nodes that is spread evenly, whatever the solution wants.
EVEN_SHARE = 0.05
_LARGEST_EXPONENT = 600.0


# Of the steady state, whose flux comes from the whole cell: half of the nodes.
STEADY_EVEN_SHARE = 0.5
_SAMPLES = 2001


def breakpoints(cell: Cell) -> Array:
    """Return the positions [m] inside the cell where fixed charge or permittivity jumps.

    A step between two nodes costs the scheme its order; a node on it costs nothing. Steps are
    found by halving: a difference that stays while its interval shrinks to rounding is a jump.
    """
    found: list[float] = []
    for profile, at in (
        (cell.fixed_charge, cell.fixed_charge_at),
        (cell.relative_permittivity, cell.permittivity_at),
    ):
        if not callable(profile):
            continue
        x = np.linspace(0.0, cell.length, _SAMPLES)
        values = at(x)
        jumps = np.abs(np.diff(values))
        where = np.flatnonzero(jumps > 1e-6 * np.ptp(values))
        left, right = x[where], x[where + 1]
        low, high, jump = values[where], values[where + 1], jumps[where]
        for _ in range(40):
            if where.size == 0:
                break
            middle = 0.5 * (left + right)
            centre = at(middle)
            first = np.abs(centre - low) >= np.abs(high - centre)
            right, high = np.where(first, middle, right), np.where(first, centre, high)
            left, low = np.where(first, left, middle), np.where(first, low, centre)
        stays = np.abs(high - low) > 0.3 * jump
        found.extend(0.5 * (left + right)[stays])
    return np.unique(np.array(found))


def layer_lengths(cell: Cell) -> tuple[float, float]:
    """Thinnest layer to expect at each wall, in cell lengths: what the first mesh resolves."""
    problem = discretise(cell, np.linspace(0.0, cell.length, 3))
    z, amount, v = problem.z, problem.amount, problem.v
    epsilon = cell.mean_permittivity
    if problem.closed:
        # The whole voltage at one wall, or all the ions' charge there: whichever is milder.
        drop = abs(v[1] - v[0])
        exponent = np.minimum(np.abs(z) * drop, _LARGEST_EXPONENT)
        screened = np.sqrt(epsilon / (z**2 * amount * np.exp(exponent)).sum())
        crowded = epsilon / (
            np.abs(z).max() * (np.abs(z) @ amount + drop + np.abs(problem.f).max())
        )
        return (max(screened, crowded),) * 2
    exponents = -np.outer(v, z).clip(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    lengths = np.sqrt(epsilon / np.maximum((z**2 * amount * np.exp(exponents)).sum(axis=1), 1e-300))
    return float(lengths[0]), float(lengths[1])


def node_density(solution: Solution) -> Array:
    """Wanted nodes per length on each edge: where the scheme's error arises.

    Lumping charge at the nodes is the scheme's only error where the permittivity is constant: a
    quadrature error ``h^3 (G c)'' / 12`` an edge and species, G being the Green's function.

    In a closed cell the fixed amount carries that error from everywhere into the whole potential
    with the same weight, the mean of G over the species: the sum is least for spacings like the
    inverse cube root of ``c'' <G> + 2 c' G'``. Against a reservoir errors stay within the local
    length of the layer, ``(c'')^(-1/4)`` in these units, and spacings follow that length.
    """
    p = solution.problem
    x = p.nodes
    h = np.diff(x)
    slope = np.diff(solution.u) / h
    epsilon = p.a * h
    c = 0.5 * (solution.c[:, :-1] + solution.c[:, 1:])
    bend = -0.5 * (solution.charge[:-1] + solution.charge[1:]) / epsilon
    middle = 0.5 * (x[:-1] + x[1:])
    green = 1.0 / np.sqrt(p.z**2 @ c / epsilon + 1.0 / np.minimum(middle, 1.0 - middle) ** 2)
    wanted = np.zeros(h.size)
    for s, z in enumerate(p.z):
        second = np.abs(z * z * slope**2 - z * bend) * c[s]
        if p.closed:
            mean = (c[s] * h) @ green / (c[s] @ h)
            wanted += abs(z) * (second * mean + 2.0 * np.abs(z * slope) * c[s])
        else:
            wanted += np.sqrt(np.sqrt(second))
    if p.closed:
        wanted = np.cbrt(wanted)
    total = wanted @ h
    if not total > 0.0:
        return np.ones(h.size)
    return EVEN_SHARE + (1.0 - EVEN_SHARE) * wanted / total


def steady_density(problem: Discrete, u: Array, c: Array) -> Array:
    """Wanted nodes per length on each edge for a current-carrying state.

    Spacings follow the local length of the charge, ``|rho''|^(-1/4)`` in these units.
    """
    x = problem.nodes
    h = np.diff(x)
    charge = problem.z @ c
    bend = np.zeros(x.size)
    slope = np.diff(charge) / h
    bend[1:-1] = np.abs(np.diff(slope)) / (0.5 * (h[:-1] + h[1:]))
    # Differences of charges that are rounding of a neutral mixture are no layers.
    noise = 1e-12 * (np.abs(problem.z) @ c).max() / np.minimum(h[:-1], h[1:]) ** 2
    bend[1:-1] = np.where(bend[1:-1] > noise, bend[1:-1], 0.0)
    wanted = np.maximum(bend[:-1], bend[1:]) ** 0.25
    total = wanted @ h
    if not total > 0.0:
        return np.ones(h.size)
    return STEADY_EVEN_SHARE + (1.0 - STEADY_EVEN_SHARE) * wanted / total
