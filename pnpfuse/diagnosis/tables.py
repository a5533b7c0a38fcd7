"""The numbers of a diagnosis as tables."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from pnpfuse.diagnosis.dataset import LOSS, PAIR, POINT, VARIABLES
from pnpfuse.diagnosis.findings import chief_points
from pnpfuse.findings import spread
from pnpfuse.report import Table


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
    """One model's numbers that belong to `group`: by losses and points, points, pairs; CKA."""
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
    if "cka" in diagnostics and VARIABLES["cka"].group == group:
        points = list(map(str, diagnostics["point"].values))
        lines = zip(points, diagnostics["cka"].values, strict=True)
        rows = [[point, *map(number, line)] for point, line in lines]
        found.append(Table(["CKA", *points], rows, f"CKA: {VARIABLES['cka'].long_name}."))
    return found


def meanings_table(diagnostics: xr.Dataset) -> Table | None:
    """What each point holds."""
    known = json.loads(diagnostics.attrs.get("meanings", "{}"))
    points = [str(point) for point in np.atleast_1d(diagnostics.get("point", []))]
    rows = [[point, known[point]] for point in points if point in known]
    return Table(["point", "what it holds"], rows) if rows else None


def title(name: str) -> str:
    """A variable's name in words, with its unit if it has one."""
    unit = VARIABLES[name].units
    return name.replace("_", " ") + ("" if unit == "1" else f" / {unit}")


def number(value: float) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if np.isnan(value) else f"{value:.4g}"
