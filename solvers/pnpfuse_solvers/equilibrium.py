"""Equilibrium of a cell: a convex Newton method on a mesh that follows the solution."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr

from pnpfuse_solvers import crowded, grid
from pnpfuse_solvers.arguments import check_accuracy, check_nodes
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import neutrality_note, solution_dataset
from pnpfuse_solvers.discrete import Discrete, Solution, discretise
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.observables import extrapolate, observe
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.placement import breakpoints, first_mesh, follow, node_density

# Solve, place the nodes after the solution, solve again: the second pass moves nodes only a little.
MESH_PASSES = 3
# Point ions against a reservoir grow like exp(|z u|), which leaves float64 near 700.
LARGEST_EXPONENT = 600.0
# Gauss's law must hold this well, relative to the largest displacement; 1e-12 is usual.
LARGEST_RESIDUAL = 1e-6


def solve_equilibrium(
    cell: Cell, *, nodes: int = 401, tol: float = 1e-10, throw: bool = True, order: int = 2
) -> xr.Dataset:
    """Return the equilibrium (zero flux) of a cell.

    Minimises the convex functional of the Poisson-Boltzmann problem: with the logarithm of summed
    exponentials for a closed cell, so that every ion's amount is kept to rounding, and with the
    sum of exponentials in contact with a reservoir. Newton's method with a line search finds the
    minimum from any start; no continuation in the voltage is needed. The mesh is placed after the
    solution. The scheme is of second order in the mesh; higher orders extrapolate it (Richardson)
    over meshes with every interval halved, which costs little and gains many digits.

    Parameters
    ----------
    cell : Cell
        The cell. Ions with a diameter pack no closer than one in diameter^3, and an excess adds
        the user's own chemical potentials: see `steric` for the model.
    nodes : int
        Number of mesh nodes, at least 11.
    tol : float
        The last Newton step must be smaller than this, in kB T/e.
    throw : bool
        Raise where the result is not trustworthy; False hands it back with its outcome.
    order : {2, 4, 6}
        Order of accuracy of potential, field, surface charge and free energy (interface and
        separation stop at 4, by interpolation between the nodes). At 2 every identity of the
        discrete equations holds to rounding; above, `error_estimate` says how far the potential
        is still off. Nodes are put on the steps of fixed charge and permittivity, which would
        otherwise cost the order.

    Returns
    -------
    xarray.Dataset
        Over (species, x): `potential` [V], `reduced_potential`, `concentration` [1/m^3],
        `charge_density` [C/m^3], `electric_field` [V/m]; scalars `debye_length`, `interface`,
        `interface_width` [m], `separation` (species), `surface_charge` (electrode) [C/m^2],
        `free_energy` [J/m^2]; certificates `residual`, `iterations`, `mass_error`,
        `layer_resolution`, `minimum_concentration`; ``attrs["outcome"]``. With diameters or an
        excess also `packing` (x), the share of space that ions fill, and `excess_potential`
        (species, x) [kB T].

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.

    Examples
    --------
    >>> solution = solve_equilibrium(Cell.fig8(voltage=5))
    >>> round(float(solution.interface / solution.attrs["length"]), 3)
    0.5
    """
    check_cell(cell)
    check_nodes(nodes)
    tol = check_accuracy(tol, order)
    if not cell.ideal:
        return crowded.solve(cell, nodes, tol, throw, order)
    _check_reservoir(cell)
    solution = on_placed_mesh(cell, nodes, tol)
    levels = [solution]
    while len(levels) < order // 2 and levels[-1].outcome.ok:
        coarse = levels[-1]
        finer = discretise(cell, grid.halved(coarse.problem.x))
        start = np.interp(finer.nodes, coarse.problem.nodes, coarse.u)
        levels.append(finer.solve(start, tol))
    residual, resolution = levels[-1].residual(), solution.layer_resolution()
    outcome = levels[-1].outcome
    if outcome.ok and not resolution <= 1.0:
        outcome = Outcome.UNRESOLVED_LAYER
    elif outcome.ok and not residual <= LARGEST_RESIDUAL:
        outcome = Outcome.STALLED
    if throw and not outcome.ok:
        raise SolverError(
            outcome,
            f"(nodes {nodes}, last step {levels[-1].step:.2g} kB T/e, "
            f"layer_resolution {resolution:.3g}, residual {residual:.2g})",
        )
    observed, error = extrapolate([observe(cell, s, 2**i) for i, s in enumerate(levels)])
    if len(levels) > 1:
        solution = solution.problem.at_potential(observed.u, solution)
    solution = dataclasses.replace(
        solution, outcome=outcome, iterations=sum(level.iterations for level in levels)
    )
    p = solution.problem
    slope = -observed.field * cell.length / cell.thermal_voltage  # of u, from Gauss's law
    amounts = np.abs(solution.c @ p.w / p.amount - 1.0)
    return solution_dataset(
        cell,
        solution,
        observed,
        -np.outer(p.z, slope),
        {
            "residual": residual,
            "error_estimate": error,
            "mass_error": amounts.max() if p.closed else 0.0,
            "layer_resolution": resolution,
        },
        {
            "title": f"equilibrium of a {cell.contact} cell",
            "contact": cell.contact,
            "notes": neutrality_note(cell),
            "tol": tol,
            "order": order,
        },
    )


def on_placed_mesh(cell: Cell, nodes: int, tol: float) -> Solution:
    """Solve on a mesh made for the cell, then on meshes placed after the solution."""
    steps = breakpoints(cell) / cell.length
    mesh = first_mesh(cell, nodes, steps)
    problem = discretise(cell, mesh * cell.length)
    solution = problem.solve(_start(problem), tol)
    iterations = solution.iterations
    for _ in range(MESH_PASSES - 1):
        if not solution.outcome.ok:
            break
        mesh = follow(cell, problem.nodes, node_density(solution), steps)
        problem = discretise(cell, mesh * cell.length)
        solution = problem.solve(np.interp(problem.nodes, solution.problem.nodes, solution.u), tol)
        iterations += solution.iterations
    return dataclasses.replace(solution, iterations=iterations)


def _check_reservoir(cell: Cell) -> None:
    if cell.contact == "reservoir":
        u = max(abs(p) for p in cell.potential) / cell.thermal_voltage
        exponent = u * max(abs(ion.valence) for ion in cell.ions)
        if exponent > LARGEST_EXPONENT:
            raise ValueError(
                f"potential: got {u:.3g} kB T/e, which against a reservoir raises concentrations "
                f"exp({exponent:.3g}) times; stay below exp({LARGEST_EXPONENT:g})"
            )


def _start(problem: Discrete) -> Array:
    """A straight line for a closed cell; Gouy-Chapman layers of both walls for a reservoir."""
    x = problem.nodes
    v = problem.v
    line = v[0] + (v[1] - v[0]) * x
    if problem.closed:
        return line
    z = max(float(np.abs(problem.z).max()), 1e-3)
    rate = np.sqrt((problem.z**2) @ problem.amount / (problem.a * np.diff(x)).mean())
    layers = np.zeros_like(x)
    for wall, distance in ((v[0], x), (v[1], 1.0 - x)):
        layers += (
            4.0 / z * np.arctanh(np.tanh(0.25 * z * wall) * np.exp(-rate * distance) * (1 - 1e-15))
        )
    miss = v - layers[[0, -1]]
    return layers + miss[0] + (miss[1] - miss[0]) * x
