"""Rows of the table: solvers side by side on one case, and how a target was met."""

import math

from timing import brief, in_turn, quickest, silence


def compare(work, case, calls, error, rounds, notes=None):
    """Time solvers in turn on one case.

    Parameters
    ----------
    work, case : str
    calls : {solver: callable}
        The first is ours; others are given as multiples of its time.
    error : callable
        (result) -> error of the answer.
    rounds : int
    notes : {solver: str}, optional

    Returns
    -------
    list of rows, one a solver
    """
    notes, failures, good = notes or {}, {}, {}
    with silence():
        for solver, call in calls.items():
            try:
                call()
                good[solver] = call
            except Exception as failure:  # whatever a peer raises is its row
                failures[solver] = brief(failure)
        found = in_turn(good, rounds)
    ours = found.get(next(iter(calls)))
    rows = []
    for solver in calls:
        row = {"work": work, "case": case, "solver": solver}
        if solver in found:
            seconds, busy, runs, result = found[solver]
            value = error(result)
            row |= {"seconds": seconds, "busy": busy, "runs": runs}
            row["error"] = value if value < 1e300 else None
            if ours:
                row |= {"ratio": seconds / ours.seconds, "busy_ratio": busy / ours.busy}
        else:
            row["failed"] = failures[solver]
        if solver in notes:
            row["note"] = notes[solver]
        rows.append(row)
    return rows


def best(name, ladder, error, target):
    """Quickest rung that meets the target, as ({label: call}, note); else the most accurate."""
    with silence():
        rung, tried = quickest(ladder, error, target)
    if rung is not None:
        return {f"{name} {rung}": ladder[rung]}, f"quickest of {len(ladder)} settings with {target}"
    if not tried:
        return {f"{name} (all failed)": next(iter(ladder.values()))}, "every setting fails"
    rung = min(tried, key=lambda setting: _worst_last(tried[setting][1]))
    return {f"{name} {rung}": ladder[rung]}, f"most accurate setting; none reaches {target}"


def _worst_last(error):
    return math.inf if math.isnan(error) else error


def times_slower(row):
    """Ratio of a row to ours: the less of wall and processor time, which a loaded machine skews."""
    return min(row["ratio"], row["busy_ratio"]) if "ratio" in row else None


def verdict(work, case, target, value, met):
    """A row that says whether a target was met: ``met`` is asked of the value, None is missed."""
    met = value is not None and bool(met(value))
    return {"work": work, "case": case, "target": target, "value": value, "met": met}


def line(row):
    """A row as one line of text."""
    head = f"{row['work']:6s} {row['case']:22s} "
    if "target" in row:
        value = "no value" if row["value"] is None else f"{row['value']:.3g}"
        return f"{head}{'met   ' if row['met'] else 'MISSED'} {row['target']}: {value}"
    if "failed" in row or "skipped" in row:
        return f"{head}{row['solver']:44s} {row.get('failed') or 'skipped: ' + row['skipped']}"
    text = f"{head}{row['solver']:44s} {1e3 * row['seconds']:10.3f} ms"
    if row.get("error") is not None:
        text += f"  error {row['error']:.1e}"
    if "ratio" in row:
        text += f"  x {row['ratio']:.3g} (processor time x {row['busy_ratio']:.3g})"
    return text + (f"  [{row['note']}]" if "note" in row else "")
