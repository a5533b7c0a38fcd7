"""Steady states that carry a current: concentrations held at both ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import xarray as xr

from pnpfuse_solvers import batch, grid, transport
from pnpfuse_solvers.arguments import (
    check_accuracy,
    check_nodes,
    finite_number,
)
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import solution_dataset
from pnpfuse_solvers.discrete import Discrete, Solution, discretise
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.observables import Observables, extrapolate, log_of, observe
from pnpfuse_solvers.outcome import Outcome, SolverError, judged
from pnpfuse_solvers.placement import Placement, steady_density, steady_resolution

ITERATION_LIMIT = 60
# Continuation: the share of voltage and fixed charge that a single step must not fall below.
SMALLEST_SHARE = 1e-3
_STATUS = {
    transport.CONVERGED: Outcome.CONVERGED,
    transport.EXHAUSTED: Outcome.EXHAUSTED,
    transport.NOT_FINITE: Outcome.NOT_FINITE,
}


def solve_steady(
    cell: Cell,
    left: Mapping[str, float],
    right: Mapping[str, float],
    *,
    nodes: int = 401,
    tol: float = 1e-10,
    throw: bool = True,
    order: int = 4,
) -> xr.Dataset:
    """Return the steady state between two solutions, with its fluxes and current.

    Nernst-Planck fluxes in the form of Scharfetter and Gummel, coupled to Gauss's law and solved
    together by Newton's method with block elimination. Where Newton's method fails from a straight
    start, voltage and fixed charge are raised step by step.

    Parameters
    ----------
    cell : Cell
        Ions (points), length, potentials at x = 0 and x = length, permittivity and fixed charge.
        Its contact and its ions' concentrations play no part; its Stern layers must be 0.
    left, right : {ion name: float}
        Concentrations held at x = 0 and at x = length [1/m^3], above 0.
    nodes, tol, throw, order
        As in `solve_equilibrium`; ``tol`` bounds the last step of u in kB T/e and of c, relative to
        c or to a billionth of its maximum.

    Returns
    -------
    xarray.Dataset
        What `solve_equilibrium` returns, and `flux` (species) [1/(m^2 s)], `current_density`
        [A/m^2], `flux_spread`: the largest difference of a flux between two places of the cell over
        the larger of that flux and D c / length.

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.

    Examples
    --------
    >>> salt = (Ion("K+", 1, 1e23), Ion("Cl-", -1, 1e23))
    >>> cell = Cell(1e-6, salt, relative_permittivity=78, potential=(0.1, 0.0))
    >>> ends = {"K+": 1e23, "Cl-": 1e23}
    >>> float(solve_steady(cell, ends, ends).current_density) > 0
    True
    """
    check_cell(cell, "solve_steady")
    check_nodes(nodes)
    tol = check_accuracy(tol, order)
    _check_stern(cell)
    ends = np.array([_held("left", left, cell), _held("right", right, cell)])  # (2, S)
    placement = Placement(cell)
    # Found on a coarse mesh, used on a fine one; where that is rough, nodes are placed once more.
    coarse = min(nodes, max(batch.COARSEST, nodes // batch.COARSE_SHARE) + 4 * placement.steps.size)
    mesh = placement.steady(coarse, ends)
    solution = _solve(cell, mesh * cell.length, ends, max(tol, batch.COARSE_TOL), None)
    iterations = solution.iterations
    for attempt in range(1 + batch.ROUNDS):
        fine = attempt and steady_resolution(solution, order) <= batch.ROUGH
        if fine or not solution.outcome.ok:
            break
        mesh = placement.follow(solution.problem.nodes, steady_density(solution), nodes)
        solution = _solve(cell, mesh * cell.length, ends, tol, solution)
        iterations += solution.iterations
    levels = [solution]
    while len(levels) < order // 2 and levels[-1].outcome.ok:
        levels.append(_solve(cell, grid.halved(levels[-1].problem.x), ends, tol, levels[-1]))
        iterations += levels[-1].iterations
    resolution = steady_resolution(solution, order)
    residual, spread = _gauss_residual(levels[-1]), _flux_spread(cell, levels[-1])
    observed, change = extrapolate([_observe(cell, s, 2**i) for i, s in enumerate(levels)])
    error = float(np.abs(change.u).max()) if change else np.nan
    doubt = 2.0 * np.abs(change.log_c).max(axis=0) if change else None
    outcome = judged(levels[-1].outcome, resolution, max(residual, spread), error, order)
    if throw and not outcome.ok:
        raise SolverError(
            outcome,
            f"(nodes {nodes}, last step {levels[-1].step:.2g}, layer_resolution {resolution:.3g}, "
            f"residual {residual:.2g}, flux_spread {spread:.2g})",
        )
    solution = dataclasses.replace(
        solution, u=observed.u, c=np.exp(observed.log_c), outcome=outcome, iterations=iterations
    )
    return _dataset(
        cell, solution, observed, residual, spread, error, doubt, resolution, tol, order
    )


def _dataset(
    cell: Cell, solution: Solution, observed: Observables, residual: float, spread: float,
    error: float, doubt: Array | None, resolution: float, tol: float, order: int,
) -> xr.Dataset:  # fmt: skip
    p = solution.problem
    fastest = max(ion.diffusivity for ion in cell.ions)
    flux = observed.flux * fastest / (p.unit * cell.length)
    slope = -observed.field * cell.length / cell.thermal_voltage
    share = _diffusivities(cell)[:, None] * solution.c
    return solution_dataset(
        cell,
        solution,
        observed,
        -np.outer(p.z, slope) - observed.flux[:, None] / share,
        {
            "residual": residual,
            "error_estimate": error,
            "mass_error": 0.0,
            "layer_resolution": resolution,
        },
        {
            "title": "steady state between two solutions",
            "contact": "held at both ends",
            "notes": "",
            "tol": tol,
            "order": order,
        },
        doubt=doubt,
        flux=flux,
        current_density=cell.constants.charge * float(p.z @ flux),
        flux_spread=spread,
    )


def _check_stern(cell: Cell) -> None:
    if max(cell.stern_thickness) > 0.0:
        raise ValueError(
            f"stern_thickness: got {cell.stern_thickness}; solve_steady holds the potential at the "
            "ends of the solution, give (0, 0)"
        )


def _held(side: str, given: Mapping[str, float], cell: Cell) -> list[float]:
    names = [ion.name for ion in cell.ions]
    if not isinstance(given, Mapping) or set(given) != set(names):
        found = sorted(map(str, given)) if isinstance(given, Mapping) else given
        raise ValueError(f"{side}: got {found}; give a concentration for each of {names}")
    values = []
    for name in names:
        value = finite_number(f"{side}[{name!r}]", given[name], "1/m^3")
        if not 1e-100 < value < 1e100:
            raise ValueError(
                f"{side}[{name!r}]: got {value:g}; give a concentration from 1e-100 to 1e100 1/m^3"
            )
        values.append(value)
    return values


def _diffusivities(cell: Cell) -> Array:
    d = np.array([ion.diffusivity for ion in cell.ions])
    return d / d.max()


def _solve(cell: Cell, x: Array, ends: Array, tol: float, start: Solution | None) -> Solution:
    """Newton's method on one mesh from a neighbour's solution, or from a straight start."""
    p = discretise(cell, x)
    if start is None:
        return _raise_step_by_step(cell, p, ends * p.unit, tol)
    u = np.interp(p.nodes, start.problem.nodes, start.u)
    c = np.exp([np.interp(p.nodes, start.problem.nodes, row) for row in log_of(start.c)])
    found = _newton(cell, p, u, c, 1.0, tol)
    # A start from a mesh that missed something may lead nowhere.
    return found if found.outcome.ok else _raise_step_by_step(cell, p, ends * p.unit, tol)


def _newton(cell: Cell, p: Discrete, u: Array, c: Array, share: float, tol: float) -> Solution:
    """Solve with ``share`` of the voltage and of the fixed charge."""
    u, c = u.copy(), c.copy()
    u[0], u[-1] = share * p.v
    with np.errstate(all="ignore"):
        iterations, step, status = transport.newton(
            u, c, c, 0.0, 1.0, p.a, p.h, p.w, share * p.f, p.r, p.v, p.z,
            _diffusivities(cell), tol, ITERATION_LIMIT,
        )  # fmt: skip
    return Solution(p, u, c, int(iterations), float(step), _STATUS[int(status)])


def _raise_step_by_step(cell: Cell, p: Discrete, ends: Array, tol: float) -> Solution:
    """Try the whole problem at once; where that fails, raise voltage and charge in steps."""
    c = np.exp(np.log(ends[0])[:, None] * (1 - p.nodes) + np.log(ends[1])[:, None] * p.nodes)
    line = p.v[0] + (p.v[1] - p.v[0]) * p.nodes
    found = _newton(cell, p, line, c, 1.0, tol)
    iterations = found.iterations
    if not found.outcome.ok and p.f.any():
        phi = _donnan(p, ends)
        found = _newton(cell, p, line + phi, c * np.exp(-np.outer(p.z, phi)), 1.0, tol)
        iterations += found.iterations
    if found.outcome.ok:
        return dataclasses.replace(found, iterations=iterations)
    done, reach, state = 0.0, 0.5, _newton(cell, p, 0.0 * line, c, 0.0, tol)
    while state.outcome.ok and done < 1.0:
        share = min(1.0, done + reach)
        tried = _newton(cell, p, state.u + (share - done) * line, state.c, share, tol)
        iterations += tried.iterations
        if tried.outcome.ok:
            done, state, reach = share, tried, 2.0 * reach
        elif reach > SMALLEST_SHARE:
            reach *= 0.5
        else:
            return dataclasses.replace(tried, iterations=iterations)
    return dataclasses.replace(state, iterations=iterations)


def _donnan(p: Discrete, ends: Array) -> Array:
    """Potential (N,) of the fixed charge at rest in contact with the mean of both solutions.

    A convex problem, solved from anywhere: it brings the layers at a strongly charged membrane,
    which Newton's method for the currents would not find by itself.
    """
    mean = np.sqrt(ends[0] * ends[1])
    rest = dataclasses.replace(p, closed=False, amount=mean, v=np.zeros(2))
    return rest.solve(np.zeros_like(p.x), 1e-6).u


def _fluxes(cell: Cell, solution: Solution) -> Array:
    """Flux of each species through each edge (S, N-1), dimensionless."""
    p = solution.problem
    out = np.empty((p.z.size, p.x.size - 1))
    transport.fluxes(solution.u, solution.c, p.h, p.z, _diffusivities(cell), out)
    return out


def _observe(cell: Cell, solution: Solution, stride: int) -> Observables:
    h = solution.problem.h
    return dataclasses.replace(
        observe(cell, solution, stride),
        log_c=log_of(solution.c)[:, ::stride],
        flux=_fluxes(cell, solution) @ h,
    )


def _flux_spread(cell: Cell, solution: Solution) -> float:
    flux = _fluxes(cell, solution)
    diffusive = _diffusivities(cell) * solution.c.max(axis=1)
    scale = np.maximum(np.abs(flux).max(axis=1), diffusive)
    return float((np.ptp(flux, axis=1) / scale).max())


def _gauss_residual(solution: Solution) -> float:
    p = solution.problem
    flow = p.a * np.diff(solution.u)
    missing = np.diff(flow) + p.w[1:-1] * solution.charge[1:-1]
    # As in kernels.residual_of: without a field only rounding is left.
    capacitor = np.abs(solution.u).max() / (1.0 / p.a).sum()
    ions = (np.abs(p.z) @ solution.c).max()
    scale = max(np.abs(flow).max(), 1e-8 * ions, 1e-3 * capacitor)
    return float(np.abs(missing).max() / scale)
