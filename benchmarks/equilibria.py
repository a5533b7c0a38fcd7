"""P1 and P2: equilibria of closed cells and against a reservoir."""

from functools import partial
from operator import le

import exact
from peers import solve_bvp
from problems import EQUILIBRIA
from table import best, compare, times_slower, verdict

from pnpfuse_solvers import Cell, solve_equilibrium

ACCURATE = {"order": 6, "nodes": 801}
LADDER = [(order, nodes) for order in (2, 4, 6) for nodes in (51, 101, 201, 401, 801)]


def rows(peers, rounds, only=("P1", "P2")):
    """Rows and verdicts, case by case."""
    for work, contact, ratio, voltage in EQUILIBRIA:
        if work in only:
            solve = _reservoir if contact == "reservoir" else _closed
            yield from solve(work, ratio, voltage, peers, rounds)


def _ours(cell, target, error):
    ladder = {
        f"order {order}, {nodes} nodes": partial(solve_equilibrium, cell, order=order, nodes=nodes)
        for order, nodes in LADDER
    }
    return best("pnpfuse", ladder, error, target)


def _error(contact, ratio, voltage):
    """Error of an answer of any of the solvers."""

    def error(found):
        if isinstance(found, tuple):  # x, u, ...
            x, u = found[:2]
        elif hasattr(found, "sol"):
            if not found.success:
                return float("inf")
            x, u = found.x, found.y[0]
        elif isinstance(found, dict):
            x, u = found["x"], found["u"]
        else:
            x, u = found.x.values / float(found.length), found.reduced_potential.values
        return exact.potential_error(contact, ratio, voltage, x, u)

    return error


def _closed(work, ratio, voltage, peers, rounds):
    cell, error = Cell.dimensionless(ratio, voltage), _error("closed", ratio, voltage)
    case = f"closed +-{voltage}"
    # Rounding in x alone moves u by its slope times 1e-16.
    quick, note = _ours(cell, 1e-8 if work == "P1" else 1e-9, error)
    calls = {
        "pnpfuse (default)": partial(solve_equilibrium, cell),
        **quick,
        "pnpfuse order 6, 801 nodes": partial(solve_equilibrium, cell, **ACCURATE),
        "solve_bvp 1e-6, Jacobian": partial(solve_bvp.closed, ratio, voltage, 1e-6, True),
        "solve_bvp 1e-6": partial(solve_bvp.closed, ratio, voltage, 1e-6),
    }
    notes = {next(iter(quick)): note}
    if work == "P1" and "matscipy" in peers:
        matscipy = peers["matscipy"]
        calls["matscipy 101 nodes"] = partial(matscipy.closed, ratio, voltage)
        lost = matscipy.closed(ratio, voltage)[2]
        notes["matscipy 101 nodes"] = f"{100 * lost:.1f} % of the ions lost"
    found = compare(work, case, calls, error, rounds, notes)
    yield from found
    rows = {row["solver"]: row for row in found}
    default = rows["pnpfuse (default)"].get("error")
    if work == "P2":
        yield verdict(work, case, "default, error <= 1e-5", default, lambda e: e <= 1e-5)
        asked = rows[next(iter(quick))].get("error")
        yield verdict(work, case, "on request, error <= 1e-9", asked, lambda e: e <= 1e-9)
        return
    yield verdict(work, case, "default, error <= 1e-8", default, lambda e: e <= 1e-8)
    for peer, wanted in (
        ("matscipy 101 nodes", 1000),
        ("solve_bvp 1e-6", 5),
        ("solve_bvp 1e-6, Jacobian", 5),
    ):
        if peer in rows:
            target = f">= {wanted} x quicker than {peer}"
            yield verdict(work, case, target, times_slower(rows[peer]), partial(le, wanted))


def _reservoir(work, ratio, voltage, peers, rounds, target=1e-9):
    cell = Cell.dimensionless(ratio, voltage, contact="reservoir")
    error, case = _error("reservoir", ratio, voltage), f"reservoir +-{voltage}"
    calls, notes = {}, {}

    def enter(name, ladder):
        label, note = best(name, ladder, error, target)
        calls.update(label)
        notes.update(dict.fromkeys(label, note))
        return next(iter(label))

    quick, note = _ours(cell, target, error)
    calls |= quick
    notes |= dict.fromkeys(quick, note)
    calls["pnpfuse (default)"] = partial(solve_equilibrium, cell)
    ladders = {
        jacobian: {
            f"tol {tol:g}, {count} nodes": partial(
                solve_bvp.reservoir, ratio, voltage, tol,
                exact.graded(ratio, voltage, count), jacobian,
            )
            for tol in (1e-4, 1e-5, 1e-6, 1e-7) for count in (100, 200, 400, 800, 1600)
        }
        for jacobian in (True, False)
    }  # fmt: skip
    bvp = [enter("solve_bvp, Jacobian,", ladders[True]), enter("solve_bvp", ladders[False])]
    if "dolfinx" in peers:
        dolfinx, worker = peers["dolfinx"]
        for degree, counts in ((2, (400, 1000, 1500, 2500, 4000)), (4, (100, 200, 400, 600))):
            for whole in (False, True):
                ladder = {
                    f"order {degree}, {count} cells": dolfinx.reservoir(
                        worker, ratio, voltage, exact.graded(ratio, voltage, count), degree, whole
                    )
                    for count in counts
                }
                enter("dolfinx whole" if whole else "dolfinx solve alone", ladder)
    if "devsim" in peers:
        x = exact.graded(ratio, voltage, 800)
        start = exact.gouy_chapman(ratio, voltage, x)
        label = "devsim solve alone, 800 cells"
        calls[label] = peers["devsim"].Reservoir(float(ratio), float(voltage), x, start)
        notes[label] = f"set-up {calls[label].set_up:.2f} s apart"
    found = compare(work, case, calls, error, rounds, notes)
    yield from found
    rows = {row["solver"]: row for row in found}
    reached = rows[next(iter(quick))].get("error")
    yield verdict(work, case, f"error <= {target}", reached, lambda e: e <= target)
    for peer in bvp:
        ratio = times_slower(rows[peer])
        yield verdict(work, case, f">= 3 x quicker than {peer}", ratio, lambda r: r >= 3)
