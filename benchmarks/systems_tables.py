"""The records of systems.py as Markdown tables."""

from collections import defaultdict

import numpy as np
import xarray as xr
from scipy.stats import t

from pnpfuse.dominance.probing import SCORES
from pnpfuse.dominance.tables import points
from pnpfuse.findings import condition_label, near_best, spread

FULL = {"scope": "SCOPE", "infobridge": "InfoBridge"}
BEST = "`*` within one standard error of the column's best: no difference."
AHEAD = (
    "Difference to the full model, seed by seed, in points: mean ± standard error; `~` where 0 "
    "lies in its 95 % interval (Student's t): no difference. Of twenty rows that do nothing one "
    "stays unmarked."
)


def tables(records, parts, score):
    """Lines of Markdown: for each part what there are records of."""
    runs = sorted({(r["recipe"], r["epochs"]) for r in records})
    for recipe, epochs in runs:
        here = [r for r in records if (r["recipe"], r["epochs"]) == (recipe, epochs)]
        found = _by_label(here)
        seeds = sorted({r["seed"] for r in here})
        word = score.replace("_", " ")
        yield f"# {word} / %, recipe {recipe}, {epochs} epochs, {len(seeds)} seeds"
        data = sorted({r["data"] for r in here})
        for name in data:
            yield from _systems(found, name, list(parts["systems"]), score)
        for part in ("scope", "infobridge"):
            yield from _ablations(found, part, list(parts[part]), data, score)
        for name in data:
            yield from _alpha(found, name, list(parts["alpha"]), score)


def _by_label(records):
    """{(part, label, data): {seed: record}}."""
    found = defaultdict(dict)
    for record in records:
        for part, label in record["labels"]:
            found[part, label, record["data"]][record["seed"]] = record
    return found


def _scores(rows, read):
    """(model, seed) of {label: {seed: record}}, the seeds that all have."""
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in rows.values())))
    values = [[read(by_seed[seed]) for seed in seeds] for by_seed in rows.values()]
    return xr.DataArray(
        np.array(values, float).reshape(len(rows), len(seeds)), dims=("model", "seed"),
        coords={"model": list(rows), "seed": seeds},
    )  # fmt: skip


def _marked(column):
    """Cells "mean ± sd" of scores (model, seed) from 0 to 1, in percent."""
    marks = near_best(column)
    return [
        spread(100 * row) + (" *" if mark else "")
        for row, mark in zip(column.values, marks, strict=True)
    ]


def _markdown(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _systems(found, data, labels, score):
    rows = {label: found["systems", label, data] for label in labels}
    rows = {label: by_seed for label, by_seed in rows.items() if by_seed}
    if not rows:
        return
    first = next(iter(next(iter(rows.values())).values()))
    names = list(first["probe"])
    yield f"\n## {data}: systems\n"
    conditions = ["none", "each", *(f"only:{m}" for m in names)]
    columns = [_marked(_scores(rows, lambda r, c=c: r[score][c])) for c in conditions]
    sizes = [f"{by_seed[min(by_seed)]['parameters']:,}" for by_seed in rows.values()]
    yield from _markdown(
        ["model", *map(condition_label, conditions), "parameters"],
        zip(rows, *columns, sizes, strict=True),
    )
    yield f"{BEST} Only: the others missing.\n"
    yield from _laziness(found, data, rows, names, score)


def _laziness(found, data, rows, names, score):
    place = SCORES.index(score)
    alone = {m: found["systems", f"{m} alone", data] for m in names}
    if not all(alone.values()):
        return
    trained = {m: _scores({m: alone[m]}, lambda r: r[score]["none"])[0] for m in names}
    probed = {m: _scores({m: alone[m]}, lambda r, m=m: r["probe"][m][place])[0] for m in names}
    best = max(names, key=lambda m: float(trained[m].mean()))
    reads = {"probe": [], "probe_beside": []}
    for reading, columns in reads.items():
        for m in names:
            columns.append(_scores(rows, lambda r, m=m, reading=reading: r[reading][m][place]))
    fused = _scores(rows, lambda r: r[score]["none"])
    yield f"### {data}: linear probes (the form of SCOPE's Table 2)\n"
    references = ["alone, probe", *(spread(100 * probed[m]) for m in names), ""]
    heads = ["alone, trained head", *(spread(100 * trained[m]) for m in names), ""]
    cells = zip(rows, *map(_marked, reads["probe"]), _marked(fused), strict=True)
    yield from _markdown(["model", *names, "Fusion"], [references, heads, *cells])
    yield f"Probes of one modality, the others missing. {BEST}\n"
    for label, *read in zip(rows, *reads["probe_beside"], strict=True):
        own = [column.sel(model=label) for column in reads["probe"]]
        if not all(np.array_equal(a, b) for a, b in zip(own, read, strict=True)):
            said = ", ".join(f"{m} {spread(100 * x)}" for m, x in zip(names, read, strict=True))
            yield f"- {label}, the others present: {said}"
    yield f"\n### {data}: laziness in points\n"
    table = []
    for label in rows:
        cells = [label]
        for m, read in zip(names, reads["probe"], strict=True):
            without = _scores(rows, lambda r, m=m: r[score][f"missing:{m}"]).sel(model=label)
            cells.append(points(probed[m] - read.sel(model=label)))
            cells.append(points(fused.sel(model=label) - without))
        table.append([*cells, points(fused.sel(model=label) - trained[best])])
    words = [word for m in names for word in (f"lazy on {m}", f"{m} adds")]
    yield from _markdown(["model", *words, f"gain over {best} alone"], table)
    yield (
        "Lazy: probe of the encoder trained alone - probe in the joint model. Adds: all present - "
        "without it. Mean ± sd, `~` no difference beyond the spread.\n"
    )


def _ablations(found, part, labels, data, score):
    full = FULL[part]
    shown = [name for name in data if found[part, full, name]]
    if not shown:
        return
    yield f"\n## {part}: ablations\n"
    table = []
    for label in labels:
        cells = [label]
        for name in shown:
            rows = {full: found[part, full, name], label: found[part, label, name]}
            if not rows[label]:
                cells.append("")
                continue
            values = 100 * _scores(rows, lambda r: r[score]["none"])
            own = spread(values.sel(model=label))
            cells.append(own if label == full else f"{own} ({_ahead(values, label, full)})")
            said = [_bound(rows[label], word) for word in ("bound", "printed_bound")]
            if said[0]:
                cells[-1] += "; " + " / ".join(said).rstrip(" /")
        table.append(cells)
    yield from _markdown(["", *shown], table)
    yield AHEAD + (
        " Then the held-out bound on I(z1; z2 | T) / nat, corrected / printed."
        if part == "infobridge"
        else ""
    )


def _ahead(values, label, full):
    """The paired difference to the full model with its standard error."""
    gaps = (values.sel(model=label) - values.sel(model=full)).values
    if gaps.size < 2 or not gaps.any():
        return f"{gaps.mean():+.1f}"
    error = gaps.std(ddof=1) / np.sqrt(gaps.size)
    none = " ~" if abs(gaps.mean()) <= t.ppf(0.975, gaps.size - 1) * error else ""
    return f"{gaps.mean().round(1) + 0.0:+.1f} ± {error:.1f}{none}"


def _bound(by_seed, word):
    """The mean over the seeds of a bound, as text; empty where a model has none."""
    values = [record.get(word) for record in by_seed.values()]
    return "" if None in values else f"{np.mean(values):.2f}"


def _alpha(found, data, labels, score):
    rows = {label: found["alpha", label, data] for label in labels}
    rows = {label: by_seed for label, by_seed in rows.items() if by_seed}
    if not rows:
        return
    yield f"\n## {data}: weight alpha of the InfoBridge loss\n"
    columns = [_marked(_scores(rows, lambda r, c=c: r[score][c])) for c in ("none", "each")]
    for name in ("within", "between"):
        values = _scores(rows, lambda r, name=name: r[name])
        columns.append([spread(row, 3) for row in values.values])
    yield from _markdown(
        ["", "all present", "one missing (mean)", "distance, same class", "other classes"],
        zip(rows, *columns, strict=True),
    )
    yield f"{BEST} Distance: Gaussian kernel (bandwidth 1) of unit vectors, test rows.\n"
