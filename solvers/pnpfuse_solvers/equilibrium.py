"""Equilibrium of a cell: a convex Newton method on a mesh that follows the solution."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse_solvers import batch, crowded, grid
from pnpfuse_solvers.arguments import check_accuracy, check_nodes
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import equilibrium_dataset, neutrality_note, solution_dataset
from pnpfuse_solvers.discrete import Solution, discretise
from pnpfuse_solvers.observables import extrapolate, observe
from pnpfuse_solvers.outcome import Outcome, SolverError, judged
from pnpfuse_solvers.placement import Placement

# Point ions against a reservoir grow like exp(|z u|), which leaves float64 near 700.
LARGEST_EXPONENT = 600.0


def solve_equilibrium(
    cell: Cell, *, nodes: int = 401, tol: float = 1e-10, throw: bool = True, order: int = 4
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
        `layer_resolution`, `minimum_concentration`; `least_density`, that of all ions together
        over its mean; ``attrs["outcome"]``. With diameters or an excess also `packing` (x), the
        share of space that ions fill, and `excess_potential` (species, x) [kB T].

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
    attrs = {
        "title": f"equilibrium of a {cell.contact} cell",
        "contact": cell.contact,
        "notes": neutrality_note(cell),
        "tol": tol,
        "order": order,
    }
    if callable(cell.fixed_charge) or callable(cell.relative_permittivity):
        return _with_profiles(cell, nodes, tol, order, throw, attrs)
    found = batch.solve(batch.gather(cell), nodes, tol, order)
    residual, resolution, _, error = found.numbers[0, 4:]
    outcome = found.outcomes(order)[0]
    if throw and not outcome.ok:
        raise _error(outcome, nodes, error, resolution, residual)
    return equilibrium_dataset(cell, found, outcome, attrs)


def _error(
    outcome: Outcome, nodes: int, error: float, resolution: float, residual: float
) -> SolverError:
    return SolverError(
        outcome,
        f"(nodes {nodes}, last step {error:.2g} kB T/e, layer_resolution {resolution:.3g}, "
        f"residual {residual:.2g})",
    )


def _with_profiles(
    cell: Cell, nodes: int, tol: float, order: int, throw: bool, attrs: dict[str, Any]
) -> xr.Dataset:
    """The equilibrium of a cell whose fixed charge or permittivity is a function of x."""
    solution = on_placed_mesh(cell, nodes, tol)
    levels = [solution]
    while len(levels) < order // 2 and levels[-1].outcome.ok:
        coarse = levels[-1]
        finer = discretise(cell, grid.halved(coarse.problem.x))
        start = np.interp(finer.nodes, coarse.problem.nodes, coarse.u)
        levels.append(finer.solve(start, tol))
    residual, resolution = levels[-1].residual(), solution.layer_resolution()
    observed, change = extrapolate([observe(cell, s, 2**i) for i, s in enumerate(levels)])
    error = float(np.abs(change.u).max()) if change else np.nan
    # What fails on a finer mesh is a layer that none resolves, if the coarse one does not.
    ended = levels[0 if resolution > 1.0 else -1].outcome
    outcome = judged(ended, resolution, residual, error, order)
    if throw and not outcome.ok:
        raise _error(outcome, nodes, levels[-1].step, resolution, residual)
    if len(levels) > 1:
        solution = solution.problem.at_potential(observed.u, solution)
    solution = dataclasses.replace(
        solution, outcome=outcome, iterations=sum(level.iterations for level in levels)
    )
    p = solution.problem
    slope = -observed.field * cell.length / cell.thermal_voltage  # of u, from Gauss's law
    amounts = np.abs(solution.c @ p.w / p.amount - 1.0)
    excess = np.zeros(p.z.size)
    if p.closed and len(levels) > 1:
        beyond = observed.log_partition - solution.log_partition()
        excess = np.expm1(np.clip(beyond, -700.0, 700.0))
    elif p.closed:
        excess[:] = np.nan
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
        attrs,
        doubt=(p.z.max() - p.z.min()) * np.abs(change.u) if change else None,
        concentration_excess=excess,
    )


def on_placed_mesh(cell: Cell, nodes: int, tol: float) -> Solution:
    """Solve on a mesh placed after the solution: found on a coarse mesh, used on a fine one.

    Where the fine mesh turns out rough, nodes are placed once more, after its solution.
    """
    placement = Placement(cell)
    coarse = min(nodes, max(batch.COARSEST, nodes // batch.COARSE_SHARE) + 4 * placement.steps.size)
    solution = _unplaced(cell, placement, coarse, tol)
    iterations = solution.iterations
    for attempt in range(1 + batch.ROUNDS):
        if not solution.outcome.ok and attempt == 1:
            solution = _unplaced(cell, placement, nodes, tol)
            iterations += solution.iterations
        if attempt and solution.layer_resolution() <= batch.ROUGH or not solution.outcome.ok:
            break
        problem = discretise(cell, placement.after(solution, nodes) * cell.length)
        start = np.interp(problem.nodes, solution.problem.nodes, solution.u)
        solution = problem.solve(start, tol)
        iterations += solution.iterations
    return dataclasses.replace(solution, iterations=iterations)


def _unplaced(cell: Cell, placement: Placement, nodes: int, tol: float) -> Solution:
    """A solve that tells where nodes are wanted."""
    problem = discretise(cell, placement.first(nodes) * cell.length)
    return problem.solve(problem.start(), max(tol, batch.COARSE_TOL))


def _check_reservoir(cell: Cell) -> None:
    if cell.contact == "reservoir":
        u = max(abs(p) for p in cell.potential) / cell.thermal_voltage
        exponent = u * max(abs(ion.valence) for ion in cell.ions)
        if exponent > LARGEST_EXPONENT:
            raise ValueError(
                f"potential: got {u:.3g} kB T/e, which against a reservoir raises concentrations "
                f"exp({exponent:.3g}) times; stay below exp({LARGEST_EXPONENT:g})"
            )
