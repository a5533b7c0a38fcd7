"""P4: the charging of a blocking cell; errors of q(t) relative to q, the largest over 201 times."""

import inspect
from functools import partial

from exact import charge_error
from problems import CHARGING_TIMES, CHARGING_VOLTAGES, charging_cell
from table import best, compare, times_slower, verdict

from pnpfuse_solvers import solve_transient

TARGET, ASKED = 1e-4, 1e-8
QUICK = [(nodes, rtol) for nodes in (51, 101, 201, 401, 801) for rtol in (1e-3, 1e-4, 1e-5, 1e-6)]
ACCURATE = [(nodes, rtol) for nodes in (401, 801, 1601) for rtol in (1e-8, 1e-10)]
# Orders in space, where the solver offers them.
ORDERS = (2, 4, 6) if "order" in inspect.signature(solve_transient).parameters else (None,)


def rows(peers, rounds, only=("P4",)):
    """Rows and verdicts, voltage by voltage."""
    for voltage in CHARGING_VOLTAGES:
        yield from _charging(voltage, peers, rounds)


def _ladder(cell, times, settings):
    ladder = {}
    for order in ORDERS:
        for nodes, rtol in settings:
            more = {} if order is None else {"order": order}
            label = "".join(f"order {order}, " for order in more.values())
            ladder[f"{label}{nodes} nodes, rtol {rtol:g}"] = partial(
                solve_transient, cell, times, nodes=nodes, rtol=rtol, **more
            )
    return ladder


def _charging(voltage, peers, rounds):
    cell, time, charge = charging_cell(voltage)
    times = CHARGING_TIMES * time
    case = f"+-{voltage}"

    def error(found):
        if hasattr(found, "attrs"):
            found = found.electrode_charge.sel(electrode="left").values / charge
        return charge_error(voltage, found)

    calls, notes = {}, {}

    def enter(solver, ladder, target):
        label, note = best(solver, ladder, error, target)
        calls.update(label)
        notes.update(dict.fromkeys(label, note))
        return next(iter(label))

    quick = _ladder(cell, times, QUICK)
    ours = enter("pnpfuse", quick, TARGET)
    calls["pnpfuse (default)"] = partial(solve_transient, cell, times)
    asked = enter("pnpfuse", _ladder(cell, times, ACCURATE), ASKED)
    theirs = []
    if "pybamm" in peers:
        build = partial(peers["pybamm"].Charging, voltage, CHARGING_TIMES)
        for mesh in ("uniform", "chebyshev", "graded"):
            theirs.append(f"PyBaMM IDAKLU, {mesh} 200")
            calls[theirs[-1]] = build(mesh)
        ladder = {f"graded {count}": build("graded", count) for count in (400, 800)}
        enter("PyBaMM IDAKLU,", ladder, TARGET)
    found = compare("P4", case, calls, error, rounds, notes)
    yield from found
    rows = {row["solver"]: row for row in found}
    if "fipy" in peers:
        slow, note = {"FiPy 200": peers["fipy"].Charging(voltage)}, {"FiPy 200": "timed once"}
        (row,) = compare("P4", case, slow, error, 1, note)
        if "seconds" in row and "seconds" in rows[ours]:
            row["ratio"] = row["seconds"] / rows[ours]["seconds"]
            row["busy_ratio"] = row["busy"] / rows[ours]["busy"]
        yield row
    reached = rows[ours].get("error")
    yield verdict("P4", case, f"error of q <= {TARGET}", reached, lambda e: e <= TARGET)
    for peer in theirs:
        row = rows[peer]
        target = f"quicker than {peer} with its error {row.get('error') or float('nan'):.1e}"
        yield verdict("P4", case, target, times_slower(row), lambda r: r > 1)
    reached = rows[asked].get("error")
    yield verdict("P4", case, f"error of q <= {ASKED} on request", reached, lambda e: e <= ASKED)
