"""What a sweep says, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from pnpfuse.console import largest_class, table_lines
from pnpfuse.findings import condition_label
from pnpfuse.mapping.regime import SEPARATED
from pnpfuse.report import Table
from pnpfuse.sweep.cells import best_cells
from pnpfuse.sweep.dataset import DIVERGED, FINISHED, OUTCOME
from pnpfuse.sweep.sensitivity import flatness
from pnpfuse.sweep.verdicts import flatness_said
from pnpfuse.views import Views

SHOWN = ("none", "each")  # conditions


def fitting_score(test: Views) -> str:
    """The accuracy; with unequal classes, where it may say little, the balanced one."""
    return "balanced_accuracy" if largest_class(test)[1] else "accuracy"


def sweep_lines(sweep: xr.Dataset, score: str = "accuracy") -> Iterator[str]:
    """A sweep over n x b: its `score`, the best cells, physics' b and the rank condition."""
    for said, table in score_tables(sweep, score):
        yield said
        yield from table_lines(table)
    if sweep.sizes["seed"] > 1:
        yield f"mean ± standard deviation over {sweep.sizes['seed']} seeds"
    yield from best_lines(sweep, score)
    if sweep.sizes["seed"] > 1 and (sweep[OUTCOME] == FINISHED).all("seed").any():
        yield from flatness_said(flatness(sweep.sel(condition=_shown(sweep)), score))
    if "physical_b" in sweep:
        yield (
            f"b where the cells of n Debye lengths at -+{sweep.attrs['voltage']:g} kB T/e have "
            "their interface (separation):"
        )
        yield from table_lines(physics_table(sweep))
        yield from rank_lines(sweep)
    yield outcome_line(sweep)
    if why := sweep.attrs.get("not_stacked"):
        yield f"trained one by one: {why}"


def score_tables(sweep: xr.Dataset, score: str = "accuracy") -> Iterator[tuple[str, Table]]:
    """(what it shows, b x n) of the mean of a score over the seeds, +- its standard deviation."""
    for condition in _shown(sweep):
        values = 100 * sweep[score].sel(condition=condition)  # (n, b, seed)
        mean = values.mean("seed").values  # without the seeds that diverged
        spread = values.where(values.count("seed") > 1).std("seed", ddof=1).values
        rows = [
            [f"{b:g}", *map(_cell, mean[:, j], spread[:, j])]
            for j, b in enumerate(sweep["b"].values)
        ]
        header = ["b", *(f"n = {n:g}" for n in sweep["n"].values)]
        yield f"{score.replace('_', ' ')} / %, {condition_label(condition)}", Table(header, rows)


def best_lines(sweep: xr.Dataset, score: str = "accuracy") -> Iterator[str]:
    """The best cell, and those that cannot be told from it: within one standard error."""
    n, b = sweep["n"].values, sweep["b"].values
    found = {c: best_cells(100 * sweep[score].sel(condition=c)) for c in _shown(sweep)}
    for condition, best in found.items():
        if best is None:  # no cell that all seeds have finished
            continue
        i, j = best.place
        said = (
            f"best, {condition_label(condition)}: {best.mean:.1f} % at n = {n[i]:g}, b = {b[j]:g}"
        )
        if np.isnan(best.error):
            yield f"{said}; one seed says nothing of how certain that is"
            continue
        cells = "; ".join(
            f"n = {n[k]:g}: b = {', '.join(f'{x:g}' for x in b[best.near[k]])}"
            for k in range(len(n))
            if best.near[k].any()
        )
        yield (
            f"{said}; within its standard error ({best.error:.2f}) "
            f"{best.near.sum()} of {best.near.size} cells: {cells}"
        )
    if any(found.values()):
        yield "the best is chosen on the rows that it is measured on: expect less of it elsewhere"


def physics_table(sweep: xr.Dataset) -> Table:
    """Where the cells of the modalities have their interface, n by n, with the separation."""
    b, separation = sweep["physical_b"].values, sweep["physical_separation"].values
    rows = [[f"{n:g}", *map(_place, b[i], separation[i])] for i, n in enumerate(sweep["n"].values)]
    return Table(["n", *map(str, sweep["modality"].values)], rows)


def rank_lines(sweep: xr.Dataset) -> Iterator[str]:
    """Which cells are too narrow for a whole shared part, and which exceed the bound."""
    limit, width = sweep["rank_limit"], float(sweep["shared_width"])
    b = sweep["b"].values
    narrow = []
    for n in sweep["n"].values:
        parts = []
        for m in sweep["modality"].values:
            short = b[(limit.sel(n=n, modality=m) < width).values]
            if len(short):
                parts.append(f"{m} b <= {short.max():g}")
        if parts:
            narrow.append(f"n = {n:g}: {', '.join(parts)}")
    yield (
        f"floor(b n l_k) is below l* = {width:g}, so that a shared part cannot fill its width, for "
        + "; ".join(narrow)
        if narrow
        else f"floor(b n l_k) reaches l* = {width:g} in every cell"
    )
    above = (sweep["rank"] > limit).any(["seed", "modality"])
    if above.any():
        yield (
            f"rank above the bound in {int(above.sum())} of {above.size} cells: what stands on the "
            "shared parts is not linear"
        )


def outcome_line(sweep: xr.Dataset) -> str:
    """How many points there are, and which diverged."""
    codes = sweep[OUTCOME]
    gone = np.argwhere(codes.values == DIVERGED)
    said = f"{codes.size} points"
    if len(gone):
        n, b, seed = (sweep[dim].values[k] for dim, k in zip(codes.dims, gone[0], strict=True))
        said += f", {len(gone)} of them diverged (the first: n = {n:g}, b = {b:g}, seed {seed})"
    return said


def _cell(mean: float, spread: float) -> str:
    if not np.isfinite(mean):
        return "-"
    return f"{mean:.1f} ± {spread:.1f}" if np.isfinite(spread) else f"{mean:.1f}"


def _place(b: float, separation: float) -> str:
    if not np.isfinite(b):
        return "no interface"
    void = "" if separation >= SEPARATED else ", void"
    return f"{b:.4f} ({separation:.1%}{void})"


def _shown(sweep: xr.Dataset) -> list[str]:
    return [c for c in SHOWN if c in sweep["condition"].values]
