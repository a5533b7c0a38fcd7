"""What a diagnosis says, in sentences and tables: every word follows from a measured value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from pnpfuse.diagnosis.dataset import LOSS, PAIR, POINT, VARIABLES
from pnpfuse.findings import spread
from pnpfuse.report import Table

CHANCE = 0.05  # p-values up to this are said to be no chance
ALIKE = 0.1  # cosines and shares below this in size are said to be about 0
_SHOWN = 6


def chief_points(diagnostics: xr.Dataset) -> list[str]:
    """The points that comprise others ("bottleneck" beside "bottleneck: image"), or all."""
    points = [str(point) for point in diagnostics["point"].values]
    return [point for point in points if ": " not in point] or points


def diagnosis(diagnostics: xr.Dataset) -> list[str]:
    """Sentences about a diagnosis, or about several over ("model", "seed") or one of them."""
    if "model" not in diagnostics.dims:
        return [sentence[0].upper() + sentence[1:] for sentence in _sentences(diagnostics)]
    return [
        f"{model}: {sentence}"
        for model in diagnostics["model"].values
        for sentence in _sentences(diagnostics.sel(model=model))
    ]


def _sentences(one: xr.Dataset) -> Iterator[str]:
    points = chief_points(one)[:_SHOWN]
    yield from _gradients(one, points)
    if "rayleigh_quotient" in one:
        yield _along(one["rayleigh_quotient"], points, "the Rayleigh quotient", 2)
    if "effective_rank" in one:
        said = [
            f"{spread(one['effective_rank'].sel(point=point))} of "
            f"{float(one['width'].sel(point=point).mean()):.0f} directions at the {point}"
            for point in points
        ]
        yield f"the features spread in {_listed(said)}."
    yield from _information(one)
    if "label_information" in one:
        said = [
            f"{spread(one['label_information'].sel(point=p), 2)} of "
            f"{spread(one['label_entropy'].sel(point=p), 2)} nat at the {p}"
            for p in points
        ]
        yield f"a linear probe finds {_listed(said)} of what there is to know of the labels."


def _gradients(one: xr.Dataset, points: list[str]) -> Iterator[str]:
    if "conflict_rate" not in one:
        return
    main = one.attrs.get("main", "main")
    for loss in one["loss"].values:
        rates = 100 * one["conflict_rate"].sel(loss=loss)
        known = [p for p in points if np.isfinite(rates.sel(point=p)).all()]
        nowhere = [p for p in points if p not in known]
        if known:
            said = [f"{spread(rates.sel(point=p))} % of the rows at the {p}" for p in known]
            cosine = one["gradient_cosine"].sel(loss=loss, point=known[-1])
            yield (
                f"{main} and {loss} gradients oppose each other in {_listed(said)} (cosine of the "
                f"whole gradients there: {spread(cosine, 2)})."
            )
        if nowhere:
            yield f"{main} and {loss} gradients do not meet at the {_listed(nowhere)}."


def _along(values: xr.DataArray, points: list[str], what: str, digits: int) -> str:
    said = [f"{spread(values.sel(point=p), digits)} ({p})" for p in points]
    if len(said) == 1:
        return f"{what} is {said[0]}."
    return f"{what} goes from {said[0]} to {said[-1]}."


def _information(one: xr.Dataset) -> Iterator[str]:
    if "mutual_information" not in one:
        return
    found = one["mutual_information"]
    pairs = [str(pair) for pair in one["pair"].values]
    parts = {kind: _part_pairs(pairs, kind) for kind in ("own", "received")}
    others = [pair for pair in pairs if pair not in parts["own"] + parts["received"]]
    if parts["own"]:
        lowest = float(one["mutual_information_low"].sel(pair=parts["own"]).min())
        apart = "so they are not disentangled" if lowest > 0 else "not clearly above 0 everywhere"
        mean = found.sel(pair=parts["own"]).mean("pair")
        said = f"a modality's own shared and specific parts share {spread(mean, 2)} nat, {apart}"
        if parts["received"]:
            mean = found.sel(pair=parts["received"]).mean("pair")
            said += (
                f"; the shared part received from another modality shares {spread(mean, 2)} nat "
                "with the specific part"
            )
        yield f"{said} (leading {one.attrs['components']} principal components)."
    if others:
        value = found.sel(pair=others)
        mean = value if "seed" not in value.dims else value.mean("seed")
        most = others[int(mean.fillna(-np.inf).argmax("pair"))]
        beyond = (one["p_value"].sel(pair=others) <= CHANCE).sum("pair")
        yield (
            f"{spread(beyond, 0)} of {len(others)} pairs of points share information beyond chance "
            f"(p <= {CHANCE:g}), {most} the most: {spread(found.sel(pair=most), 2)} nat."
        )


def _part_pairs(pairs: list[str], kind: str) -> list[str]:
    """Pairs of a shared and a specific part, of the same modality ("own") or of two."""
    found = []
    for pair in pairs:
        first, _, second = pair.partition(" | ")
        if first.startswith("shared: ") and second.startswith("specific: "):
            own = first.removeprefix("shared: ") == second.removeprefix("specific: ")
            if own == (kind == "own"):
                found.append(pair)
    return found


def _listed(said: list[str]) -> str:
    if len(said) < 2:
        return "".join(said)
    return f"{', '.join(said[:-1])} and {said[-1]}"


def diagnostics_table(diagnostics: xr.Dataset) -> Table:
    """The numbers of several models side by side, mean ± sd over seeds: chief points and pairs."""
    models, points = list(diagnostics["model"].values), chief_points(diagnostics)
    rows = []
    for name, variable in VARIABLES.items():
        if name not in diagnostics or variable.dims not in (LOSS, POINT):
            continue
        for point in points:
            for loss in diagnostics["loss"].values if variable.dims == LOSS else [None]:
                line = diagnostics[name].sel(point=point)
                line = line if loss is None else line.sel(loss=loss)
                label = f"{title(name)}, {point}" + (f", {loss}" if loss else "")
                rows.append([label, *(spread(line.sel(model=m), 3) for m in models)])
    for pair in diagnostics["pair"].values if "mutual_information" in diagnostics else []:
        cell = diagnostics.sel(pair=pair)
        row = [f"information / nat, {pair} (shuffled)"]
        for model in models:
            null = float(cell["mutual_information_null"].sel(model=model).mean())
            row.append(f"{spread(cell['mutual_information'].sel(model=model), 2)} ({null:.2f})")
        rows.append(row)
    return Table(
        ["diagnostic", *models],
        rows,
        "Mean ± standard deviation over seeds. The Dirichlet energy grows with the square of the "
        "features' scale; the Rayleigh quotient does not depend on it.",
    )


def tables(diagnostics: xr.Dataset, group: str) -> list[Table]:
    """One model's numbers that belong to `group`: by points, by losses and points, by pairs."""
    found = []
    for dims in (LOSS, POINT, PAIR):
        names = [
            name
            for name, variable in VARIABLES.items()
            if name in diagnostics and variable.group == group and variable.dims == dims
        ]
        if not names:
            continue
        together = diagnostics[names].stack(line=dims)
        rows = [
            [", ".join(map(str, key)), *(number(together[name].values[i]) for name in names)]
            for i, key in enumerate(together.indexes["line"])
            if any(np.isfinite(together[name].values[i]) for name in names)
        ]
        said = [f"{title(name)}: {VARIABLES[name].long_name}" for name in names]
        header = [" and ".join(dims), *map(title, names)]
        found.append(Table(header, rows, "; ".join(said) + "."))
    return found


def title(name: str) -> str:
    """A variable's name in words, with its unit if it has one."""
    unit = VARIABLES[name].units
    return name.replace("_", " ") + ("" if unit == "1" else f" / {unit}")


def number(value: float) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if np.isnan(value) else f"{value:.4g}"
