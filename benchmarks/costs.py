"""Rows of the diagnostics' report: what was measured beside a floor or a peer."""


def row(line, here, /, *, against=None, goal=None, **more):
    """Return one row; `against` is (kind, name, seconds), goal the largest good ratio."""
    found = {"line": line, "here": here, **more}
    if against:
        kind, name, other = against
        ratio = here / other
        found |= {kind: {"name": name, "seconds": other}, "ratio": ratio}
        if goal is not None:
            found |= {"goal": f"<= {goal}", "met": ratio <= goal}
    return found


def text(row):
    """One row as a line of text."""
    said = row["line"]
    if row.get("here") is not None:
        said += f": {1e3 * row['here']:.3g} ms"
    for kind in ("peer", "floor"):
        if kind in row:
            said += f", {row[kind]['name']} {1e3 * row[kind]['seconds']:.3g} ms"
    if row.get("ratio") is not None:
        said += f", ratio {row['ratio']:.3g}"
    if "goal" in row:
        said += f" (goal {row['goal']}: {'met' if row['met'] else 'NOT met'})"
    known = ("line", "here", "peer", "floor", "ratio", "goal", "met")
    rest = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.items()
        if name not in known
    )
    return f"{said}; {rest}" if rest else said
