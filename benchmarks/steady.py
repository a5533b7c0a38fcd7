"""P3: steady fluxes through a charged membrane."""

from functools import partial

import exact
from peers import solve_bvp
from problems import MEMBRANES
from table import best, compare, times_slower, verdict

from pnpfuse_solvers import solve_steady

TARGET = 1e-9
LADDER = [(order, nodes) for order in (2, 4, 6) for nodes in (26, 51, 101, 201, 401, 801)]


def rows(peers, rounds, only=("P3",)):
    """Rows and verdicts, case by case."""
    for name, membrane in MEMBRANES.items():
        yield from _membrane(name, membrane, peers, rounds)


def _membrane(name, membrane, peers, rounds):
    cell, left, right, unit = membrane.cell()

    def error(found):
        if isinstance(found, dict) and "flux" in found:
            return exact.flux_error(name, found["flux"])
        if hasattr(found, "sol"):
            return exact.flux_error(name, found.p) if found.success else float("inf")
        if hasattr(found, "attrs"):
            return exact.flux_error(name, found.flux.values / unit)
        return exact.flux_error(name, found)

    calls, notes = {}, {}

    def enter(solver, ladder):
        label, note = best(solver, ladder, error, TARGET)
        calls.update(label)
        notes.update(dict.fromkeys(label, note))
        return next(iter(label))

    ours = enter("pnpfuse", {
        f"order {order}, {nodes} nodes": partial(
            solve_steady, cell, left, right, order=order, nodes=nodes
        )
        for order, nodes in LADDER
    })  # fmt: skip
    calls["pnpfuse (default)"] = partial(solve_steady, cell, left, right)
    whole = []
    for slopes in (True, False):
        solver = "solve_bvp, Jacobian," if slopes else "solve_bvp"
        ladder = {
            f"tol {tol:g}, {nodes} nodes": partial(
                solve_bvp.steady, membrane, tol, nodes, slopes
            )
            for tol in (1e-4, 1e-5, 1e-6, 1e-7) for nodes in (12, 24, 48)
        }  # fmt: skip
        whole.append(enter(solver, ladder))
    if "dolfinx" in peers:
        dolfinx, worker = peers["dolfinx"]
        for degree, counts in ((2, (150, 240, 300, 450)), (4, (12, 18, 24, 30, 48))):
            for all_of_it in (True, False):
                ladder = {
                    f"order {degree}, {count} cells": dolfinx.membrane(
                        worker, membrane, count, degree, all_of_it
                    )
                    for count in counts
                }
                solver = "dolfinx whole" if all_of_it else "dolfinx solve alone"
                label = enter(solver, ladder)
                if all_of_it:
                    whole.append(label)
    if "devsim" in peers:
        label = "devsim solve alone, 1201 nodes"
        calls[label] = peers["devsim"].Membrane(membrane, 1201)
        notes[label] = f"set-up {calls[label].set_up:.2f} s apart"
    found = compare("P3", name, calls, error, rounds, notes)
    yield from found
    rows = {row["solver"]: row for row in found}
    reached = rows[ours].get("error")
    target = f"relative flux error <= {TARGET}"
    yield verdict("P3", name, target, reached, lambda e: e <= TARGET)
    for peer in whole:
        if rows[peer].get("error", 1) <= TARGET:
            target = f">= 5 x quicker than {peer}"
            yield verdict("P3", name, target, times_slower(rows[peer]), lambda r: r >= 5)
