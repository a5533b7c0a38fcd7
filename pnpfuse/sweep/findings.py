"""What a sweep says, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from pnpfuse.console import largest_class, table_lines
from pnpfuse.findings import condition_label
from pnpfuse.mapping.regime import SEPARATED
from pnpfuse.report import Table
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
        mean, spread, _ = _over_seeds(sweep, score, condition)  # each (n, b)
        rows = [
            [f"{b:g}", *map(_cell, mean[:, j], spread[:, j])]
            for j, b in enumerate(sweep["b"].values)
        ]
        header = ["b", *(f"n = {n:g}" for n in sweep["n"].values)]
        yield f"{score.replace('_', ' ')} / %, {condition_label(condition)}", Table(header, rows)


def best_lines(sweep: xr.Dataset, score: str = "accuracy") -> Iterator[str]:
    """The best cell, and those that cannot be told from it: within one standard error."""
    n, b = sweep["n"].values, sweep["b"].values
    for condition in _shown(sweep):
        mean, _, error = _over_seeds(sweep, score, condition)
        if not np.isfinite(mean).any():
            continue
        i, j = np.unravel_index(np.nanargmax(mean), mean.shape)
        best = (
            f"best, {condition_label(condition)}: {mean[i, j]:.1f} % at n = {n[i]:g}, b = {b[j]:g}"
        )
        if not np.isfinite(error[i, j]):
            yield f"{best}; one seed says nothing of how certain that is"
            continue
        near = mean >= mean[i, j] - error[i, j]  # False where NaN
        cells = "; ".join(
            f"n = {n[k]:g}: b = {', '.join(f'{x:g}' for x in b[near[k]])}"
            for k in range(len(n))
            if near[k].any()
        )
        yield (
            f"{best}; within its standard error ({error[i, j]:.2f}) "
            f"{near.sum()} of {near.size} cells: {cells}"
        )
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


def _over_seeds(sweep: xr.Dataset, score: str, condition: str) -> tuple[np.ndarray, ...]:
    """Mean, standard deviation and standard error over the seeds in %, each (n, b).

    Seeds that diverged are left out. The error takes the deviation of all cells together: that of
    one, from a few seeds, is too uncertain to choose by.
    """
    values = 100 * sweep[score].sel(condition=condition)  # (n, b, seed)
    count, mean = values.count("seed"), values.mean("seed")
    # Of one value there is none.
    spread = (((values - mean) ** 2).sum("seed") / (count - 1).where(count > 1)) ** 0.5
    error = ((spread**2).mean() / count.where(count > 1)) ** 0.5
    return mean.values, spread.values, error.values


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
