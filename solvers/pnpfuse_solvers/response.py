"""Exact derivatives of results with respect to the numbers that make a cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse_solvers import grid
from pnpfuse_solvers.arguments import check_accuracy
from pnpfuse_solvers.cell import Cell, check_cell
from pnpfuse_solvers.dataset import VARIABLES, build
from pnpfuse_solvers.derivatives import Interface, Readings, extrapolated, read
from pnpfuse_solvers.discrete import discretise
from pnpfuse_solvers.equilibrium import solve_equilibrium
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome, SolverError
from pnpfuse_solvers.parameters import STEP, Complex, Parameter, parameters_of, perturbed
from pnpfuse_solvers.steady import solve_steady
from pnpfuse_solvers.tangent import (
    equations,
    equilibrium_tangent,
    fluxes,
    log,
    log_boltzmann,
    response_mesh,
    steady_state,
    steady_tangent,
)

AT_REST = ("interface", "interface_width", "separation", "surface_charge", "free_energy")
UNDER_CURRENT = (*AT_REST, "flux", "current_density")
NO_BALANCE = "not determined: profiles of a higher order do not balance where coarser ones do"
OF_INTERFACE: Mapping[str, Callable[[Any], Complex]] = {
    "interface": lambda interface: interface.position,
    "interface_width": Interface.width,
    "separation": Interface.separation,
}
CERTIFICATES = ("residual", "mass_error", "layer_resolution", "minimum_concentration")


def sensitivity(
    cell: Cell,
    of: Sequence[str] | str = ("interface",),
    to: Sequence[str] | str | None = None,
    *,
    nodes: int = 401,
    tol: float = 1e-10,
    order: int = 6,
    left: Mapping[str, float] | None = None,
    right: Mapping[str, float] | None = None,
    throw: bool = True,
) -> xr.Dataset:
    """Return derivatives of a cell's equilibrium or steady state by the implicit function theorem.

    The discrete equations R(y; p) = 0 are differentiated, ``dy/dp = -(dR/dy)^-1 dR/dp``, on each of
    the nested meshes of the solver, and the derivatives are extrapolated over them like the
    solution itself. No solve is repeated at a neighbouring parameter: all derivatives together
    cost about as much as a few Newton steps, whatever the number of parameters.

    Parameters
    ----------
    cell : Cell
        The cell; its ions must be points.
    of : sequence of str
        What is differentiated: "interface", "interface_width", "separation", "surface_charge",
        "free_energy", and of a steady state "flux" and "current_density".
    to : sequence of str or None
        With respect to what; None is everything that follows, as far as the cell has it:

        - "potential_left", "potential_right" [V], and "voltage" [V]: potentials (+V, -V) change
          against each other;
        - "length" [m]: functions of x are kept as they are and go on to the new end;
        - "temperature" [K], at fixed potentials in V and fixed diffusivities;
        - "relative_permittivity", "fixed_charge": the number, or for a function of x a factor in
          front of it, whose value is 1;
        - "stern_thickness_left", "stern_thickness_right" [m], also where there is none yet;
        - "<ion>.valence", "<ion>.concentration" [1/m^3], and of a steady state, instead of the
          concentration, "<ion>.diffusivity" [m^2/s], "left.<ion>" and "right.<ion>" [1/m^3], the
          concentrations held at the ends.
    nodes, tol, throw
        As in `solve_equilibrium`.
    order : {2, 4, 6}
        Order of accuracy of the derivatives; those of interface, width and separation stop at 4.
    left, right : {ion name: float} or None
        Concentrations held at the ends [1/m^3]: given, the steady state of `solve_steady` is
        differentiated, else the equilibrium.

    Returns
    -------
    xarray.Dataset
        One variable for each of ``of``, over (parameter) and its own dims (species or electrode),
        in its own unit per unit of the parameter. Coordinates over parameter: `unit` and `value`.
        `error_estimate` (quantity, parameter): the last change by extrapolation of derivative times
        parameter, over the quantity (NaN at order 2). Where a cell has no interface,
        or it is not determined, the variable is NaN and its attrs["reason"] says why.

    Raises
    ------
    ValueError
        For arguments out of range.
    SolverError
        If ``throw`` and the outcome is anything but converged.

    Examples
    --------
    >>> found = sensitivity(Cell.fig8(voltage=5), of=("interface", "surface_charge"))
    >>> round(float(found["interface"].sel(parameter="length")), 6)
    0.5
    """
    check_cell(cell, "sensitivity")
    check_accuracy(tol, order)
    ends = None
    if left is not None and right is not None:
        solution = solve_steady(cell, left, right, nodes=nodes, tol=tol, throw=throw, order=order)
        ends = np.array([[float(side[ion.name]) for ion in cell.ions] for side in (left, right)])
    elif left is None and right is None:
        solution = solve_equilibrium(cell, nodes=nodes, tol=tol, throw=throw, order=order)
    else:
        missing = "left" if left is None else "right"
        raise ValueError(f"{missing}: got None; a steady state needs concentrations at both ends")
    quantities = _chosen("of", of, AT_REST if ends is None else UNDER_CURRENT, AT_REST[:1])
    known = parameters_of(cell, ends)
    chosen = {name: known[name] for name in _chosen("to", to, tuple(known), tuple(known))}
    outcome = Outcome(solution.attrs["outcome"])
    readings: list[Readings] = []
    if outcome.ok:
        outcome, readings = _differentiate(cell, solution, ends, chosen, tol, order)
    reason = str(solution["interface_reason"].values)
    results = []
    for r in readings:
        interface = None if reason else Interface(cell, r, float(solution["interface"]))
        if interface is not None and interface.position is None:
            interface, reason = None, NO_BALANCE
        results.append(_moved(quantities, r, interface))
    if outcome.ok and not _finite(results[0], reason, solution["valence"].values):
        outcome = Outcome.NOT_FINITE
    if throw and not outcome.ok:
        raise SolverError(outcome, f"(derivatives; nodes {nodes}, order {order})")
    attrs = {
        "title": f"derivatives of the {solution.attrs['title']}",
        "outcome": outcome.value,
        "message": outcome.message,
        "nodes": nodes,
        "tol": tol,
        "order": order,
        "parameters": json.dumps(cell.describe()),
    }
    return _dataset(solution, quantities, chosen, results, reason, attrs)


def capacitance(
    cell: Cell, *, nodes: int = 401, tol: float = 1e-10, order: int = 6, throw: bool = True
) -> xr.Dataset:
    """Return the differential capacitance of a cell's electrodes at its own potentials.

    Element (i, j) is the charge that electrode i takes up per change of the potential of electrode
    j at rest, all ions following. A closed cell keeps its charge, so that the matrix is
    C ((1, -1), (-1, 1)), C the capacitance that a bridge measures at low frequency. In contact with
    a reservoir the electrodes of a long cell are independent, and the diagonal holds the
    capacitance of each double layer, against a reservoir
    ``eps/lambda_D cosh(u_0/2)`` for a 1:1 salt (Grahame, Chem. Rev. 41 (1947) 441), in series with
    its Stern layer.

    Parameters
    ----------
    cell, nodes, tol, order, throw
        As in `sensitivity`.

    Returns
    -------
    xarray.Dataset
        `capacitance` (electrode, driven) [F/m^2] and the certificates of `sensitivity`.

    Raises
    ------
    ValueError, SolverError
        As in `sensitivity`.

    Examples
    --------
    >>> salt = (Ion("K+", 1, 6e25), Ion("Cl-", -1, 6e25))
    >>> found = capacitance(Cell(1e-7, salt, relative_permittivity=78, contact="reservoir"))
    >>> round(float(found["capacitance"][0, 0]), 2)
    0.72
    """
    found = sensitivity(
        cell,
        ("surface_charge",),
        ("potential_left", "potential_right"),
        nodes=nodes, tol=tol, order=order, throw=throw,
    )  # fmt: skip
    out = found.drop_dims(["parameter", "quantity", "species"])
    out["capacitance"] = (
        ("electrode", "driven"),
        found["surface_charge"].values.T,
        {"units": "F m-2", "long_name": "charge of an electrode per potential of the driven one"},
    )
    attrs = {"units": "1", "long_name": "electrode whose potential changes"}
    return out.assign_coords(driven=("driven", found["electrode"].values, attrs)).assign_attrs(
        title=f"differential capacitance of a {cell.contact} cell",
        error_estimate=float(found["error_estimate"].max()),
    )


def _dataset(
    solution: xr.Dataset, quantities: Sequence[str], chosen: Mapping[str, Parameter],
    results: Sequence[Mapping[str, Complex]], reason: str, attrs: Mapping[str, Any],
) -> xr.Dataset:  # fmt: skip
    """The derivatives per unit of their parameters, with certificates."""
    each = list(chosen.values())
    scales = np.array([parameter.scale for parameter in each])
    variables: dict[str, Any] = {}
    errors = []
    for name in quantities:
        dims, units, long_name = VARIABLES[name]
        shape = (scales.size, *(solution.sizes[dim] for dim in dims))
        none = np.full(shape, complex(np.nan, np.nan))
        tried = [result.get(name, none) for result in results] or [none]
        said = {"units": f"{units} per unit", "long_name": f"derivative of: {long_name}"}
        if name in OF_INTERFACE and reason:
            said["reason"] = reason
        variables[name] = (("parameter", *dims), (tried[0].imag.T / scales).T, said)
        errors.append(_change(tried))
    variables["error_estimate"] = (
        ("quantity", "parameter"),
        np.array(errors),
        {"units": "1", "long_name": "error of a derivative times its parameter, per quantity"},
    )
    certificates = build({name: solution[name].values for name in CERTIFICATES}, attrs)
    coords = {
        "parameter": ("parameter", list(chosen), "1", "parameter"),
        "unit": ("parameter", [p.unit for p in each], "1", "unit of the parameter"),
        "value": ("parameter", [p.value for p in each], "unit", "value of the parameter"),
        "quantity": ("quantity", list(quantities), "1", "quantity"),
    }
    return xr.Dataset(
        {**certificates.data_vars, **variables},
        coords={"species": solution["species"], "electrode": solution["electrode"]}
        | {
            name: (dim, values, {"units": units, "long_name": long_name})
            for name, (dim, values, units, long_name) in coords.items()
        },
        attrs=certificates.attrs,
    )


def _differentiate(
    cell: Cell, solution: xr.Dataset, ends: Array | None, chosen: Mapping[str, Parameter],
    tol: float, order: int,
) -> tuple[Outcome, list[Readings]]:  # fmt: skip
    """The extrapolated readings (the best, the one before it) at perturbed parameters."""
    values = perturbed(cell, ends, chosen)
    at, u = solution["x"].values, solution["reduced_potential"].values
    c = solution["concentration"].values
    x = response_mesh(cell, at, c)
    levels: list[Readings] = []
    for level in range(order // 2):
        p = discretise(cell, x)
        u = np.interp(x, at, u)
        if ends is None:
            state = p.solve(u, tol)
        else:
            c = np.exp([np.interp(x, at, row) for row in np.log(c)])
            state = steady_state(cell, p, u, c * p.unit, tol)
        if not state.outcome.ok:
            return state.outcome, []
        e = equations(cell, p, values)
        if ends is None:
            moved = equilibrium_tangent(e, state)
            levels.append(read(cell, e, moved, log_boltzmann(e, moved), None, 2**level))
        else:
            moved, moved_c = steady_tangent(cell, e, state)
            flow = fluxes(e, moved, moved_c)
            levels.append(read(cell, e, moved, log(moved_c), flow, 2**level))
        at, u, c, x = x, state.u, state.c / p.unit, grid.halved(x)
    return Outcome.CONVERGED, extrapolated(levels)


def _moved(
    quantities: Sequence[str], r: Readings, interface: Interface | None
) -> dict[str, Complex]:
    """The quantities (K, ...) that there are: value + i derivative per scale."""
    out = {}
    for name in quantities:
        if name in OF_INTERFACE and interface is None:
            continue
        value = OF_INTERFACE[name](interface) if name in OF_INTERFACE else getattr(r, name)
        out[name] = value.real + 1j * (value.imag / STEP)
    return out


def _finite(moved: Mapping[str, Complex], reason: str, z: Array) -> bool:
    """Whether all derivatives are finite that ought to be: uncharged ions have no side."""
    return all(
        np.isfinite(value[:, z != 0.0] if name == "separation" else value).all()
        for name, value in moved.items()
        if not (reason and name in OF_INTERFACE)
    )


def _change(results: Sequence[Complex]) -> Array:
    """The last change of the derivatives (K,) by extrapolation, over the quantity."""
    best = results[0].reshape(len(results[0]), -1)
    if len(results) < 2:
        return np.full(len(best), np.nan)
    before = results[1].reshape(best.shape)
    largest = max(np.abs(best.real).max(), np.abs(best.imag).max())
    return np.abs(best.imag - before.imag).max(axis=1) / (largest or 1.0)


def _chosen(argument: str, given: Any, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """Names out of a list of known ones, each once."""
    if given is None:
        return list(default)
    names = [given] if isinstance(given, str) else given
    try:
        names = list(names)
    except TypeError:
        raise ValueError(f"{argument}: got {given!r:.60}; give a list of names") from None
    if not names:
        raise ValueError(f"{argument}: got no names; give some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ValueError(f"{argument}: got {name!r:.60}; give some of {', '.join(known)}")
    return list(dict.fromkeys(names))
