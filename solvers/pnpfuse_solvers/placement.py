"""Where a cell needs mesh nodes: before it is solved, and after its solution."""

import numpy as np

from pnpfuse_solvers import grid
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.discrete import Solution, discretise
from pnpfuse_solvers.grid import Array

# Share of the nodes that is spread evenly, whatever the solution wants.
EVEN_SHARE = 0.05
_LARGEST_EXPONENT = 600.0


# Features of fixed charge or permittivity narrower than 1/16384 of the cell may be missed.
SAMPLES = 16385
# Share of the nodes that follows the variation of fixed charge and permittivity.
PROFILE_SHARE = 0.2


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
        x = np.linspace(0.0, cell.length, SAMPLES)
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


def first_mesh(cell: Cell, nodes: int, steps: Array) -> Array:
    """Return a mesh on [0, 1] for a cell that is not solved yet: layers at walls and steps."""
    inner = _inner_layer(cell) if steps.size else 1.0
    lengths = np.concatenate([_wall_layers(cell), np.full(steps.size, inner)])
    mesh = grid.graded(nodes, np.concatenate([[0.0, 1.0], steps]), lengths)
    return follow(cell, mesh, 1.0 / np.diff(mesh), steps)


def follow(cell: Cell, mesh: Array, density: Array, steps: Array) -> Array:
    """Return as many points as ``mesh`` has, placed after a density on its edges.

    Where fixed charge or permittivity are functions, a share of the nodes follows their variation,
    and nodes are put on their steps.
    """
    x, wanted = mesh, density
    variation = _variation(cell)
    if variation is not None:
        fine, change = variation
        x = np.union1d(mesh, fine)
        middle = 0.5 * (x[:-1] + x[1:])
        base = density[np.clip(np.searchsorted(mesh, middle) - 1, 0, mesh.size - 2)]
        extra = change[np.clip(np.searchsorted(fine, middle) - 1, 0, fine.size - 2)]
        wanted = (1.0 - PROFILE_SHARE) * base / (base @ np.diff(x)) + PROFILE_SHARE * extra
    return grid.snapped(grid.place(x, wanted, mesh.size), steps)


def _variation(cell: Cell) -> tuple[Array, Array] | None:
    """Points on [0, 1] and the variation of the profiles per length on the edges, integral 1."""
    if not (callable(cell.fixed_charge) or callable(cell.relative_permittivity)):
        return None
    fine = np.linspace(0.0, 1.0, SAMPLES)
    x = fine * cell.length
    change = np.zeros(SAMPLES - 1)
    for profile, values in (
        (cell.fixed_charge, cell.fixed_charge_at),
        (cell.relative_permittivity, lambda x: np.log(cell.permittivity_at(x))),
    ):
        if callable(profile):
            steps = np.abs(np.diff(values(x)))
            change += steps / max(steps.sum(), 1e-300)
    total = change.sum()
    return (fine, change / total * (SAMPLES - 1)) if total > 0.0 else None


def _inner_layer(cell: Cell) -> float:
    """Thinnest layer to expect at a step of the fixed charge, in cell lengths."""
    problem = discretise(cell, np.linspace(0.0, cell.length, SAMPLES))
    ions = problem.z**2 @ problem.amount
    return float(np.sqrt(cell.mean_permittivity / (ions + np.abs(problem.f).max())))


def _wall_layers(cell: Cell) -> Array:
    """Thinnest layer to expect at each wall, in cell lengths (2,)."""
    problem = discretise(cell, np.linspace(0.0, cell.length, 3))
    z, amount, v = problem.z, problem.amount, problem.v
    epsilon = cell.mean_permittivity
    if problem.closed:
        # The whole voltage at one wall, or all the ions' charge there: whichever is milder.
        drop = abs(v[1] - v[0])
        exponent = np.minimum(np.abs(z) * drop, _LARGEST_EXPONENT)
        screened = np.sqrt(epsilon / (z**2 * amount * np.exp(exponent)).sum())
        charge = np.abs(z) @ amount + np.abs(problem.f).max()
        crowded = epsilon / (np.abs(z).max() * (charge + drop))
        return np.full(2, max(screened, crowded))
    exponents = -np.outer(v, z).clip(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    return np.sqrt(epsilon / np.maximum((z**2 * amount * np.exp(exponents)).sum(axis=1), 1e-300))


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


def steady_mesh(cell: Cell, nodes: int, steps: Array, ends: Array) -> Array:
    """Return a mesh on [0, 1] for a current-carrying state between concentrations (2, S).

    Layers form at steps of the fixed charge, and at an end whose solution is not neutral.
    """
    p = discretise(cell, np.linspace(0.0, cell.length, 3))
    c = ends * p.unit
    debye = np.sqrt(cell.mean_permittivity / (c @ p.z**2))
    charged = np.abs(c @ p.z + p.f[[0, -1]]) > 1e-6 * (c @ np.abs(p.z))
    lengths = np.where(charged, np.minimum(debye, 1.0), 10.0)
    inner = np.full(steps.size, min(_inner_layer(cell), float(debye.min()), 1.0))
    mesh = grid.graded(nodes, np.concatenate([[0.0, 1.0], steps]), np.concatenate([lengths, inner]))
    even = np.linspace(0.0, 1.0, nodes)
    # Half of the nodes evenly: the flux comes from the whole cell.
    density = 1.0 / np.diff(mesh) / (nodes - 1) + 1.0
    return follow(cell, mesh, density, steps) if (charged.any() or steps.size) else even


def steady_density(solution: Solution) -> Array:
    """Wanted nodes per length on each edge of a current-carrying state.

    Half of the nodes are spread evenly, half follow the local length of the ions' charge,
    ``|rho''|^(-1/4)`` in these units.
    """
    p = solution.problem
    h = np.diff(p.nodes)
    charge, all_ions = p.z @ solution.c, np.abs(p.z) @ solution.c
    slope = np.diff(charge) / h
    bend = np.zeros(p.x.size)
    bend[1:-1] = np.abs(np.diff(slope)) / (0.5 * (h[:-1] + h[1:]))
    # Differences of charges that are rounding of a neutral mixture are no layers.
    noise = 1e-12 * all_ions[1:-1] / np.minimum(h[:-1], h[1:]) ** 2
    bend[1:-1][bend[1:-1] < noise] = 0.0
    wanted = np.maximum(bend[:-1], bend[1:]) ** 0.25
    total = wanted @ h
    if not total > 0.0:
        return np.ones(h.size)
    return 0.5 + 0.5 * wanted / total
