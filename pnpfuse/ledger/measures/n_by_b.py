"""Accuracy over n b on one side of 1, by the trainings of a sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Found
from pnpfuse.sweep import flatness, run_sweep

CONDITIONS = {"none": "all present", "each": "one missing"}
Grid = tuple[tuple[float, ...], tuple[float, ...]]  # n and b


def swept(bench: Bench, grid: Grid, side: str) -> Found:
    """Trend along n b and spread of the cells of rPMR on a grid that lies on one side of n b = 1.

    {condition: {"slope", "low", "high" in points a decade of n b, "spread", "chance" in points}},
    "means" (condition, cell) in percent and "nb" (cell,).
    """
    n, b = grid
    try:
        sweep = run_sweep(
            bench.views, n, b, seeds=bench.seeds, epochs=bench.epochs, missing="each",
            threads=bench.threads, progress=False,
        )  # fmt: skip
        found = flatness(sweep, bench.score).sel(side=side)
    except ValueError as error:
        raise CannotTry(f"no sweep on these data: {error}") from error
    of: Found = {name: _numbers(found.sel(condition=name)) for name in CONDITIONS}
    cells = sweep[bench.score].mean("seed").stack(cell=("n", "b"))
    order = np.argsort((cells["n"] * cells["b"]).values, kind="stable")
    means = [100 * cells.sel(condition=name).values[order] for name in CONDITIONS]
    return of | {"nb": (cells["n"] * cells["b"]).values[order], "means": means}


def say_swept(found: Found) -> str:
    """Trends and spreads."""
    return "; ".join(
        f"{said}: {of['slope']:+.1f} ({of['low']:.1f} to {of['high']:.1f}) points a decade of n b, "
        f"cells {of['spread']:.1f} points apart (chance: {of['chance']:.1f})"
        for said, of in ((said, found[name]) for name, said in CONDITIONS.items())
    )


def draw_swept(found: Found) -> Figure:
    """The cells' mean accuracies over n b."""
    figure = blank_figure(4.5, 3)
    axes = figure.subplots()
    for values, said in zip(found["means"], CONDITIONS.values(), strict=True):
        axes.semilogx(found["nb"], values, "o", label=said)
    axes.axvline(1, color="0.6", lw=0.8)
    axes.set_xticks(found["nb"], [f"{nb:.2g}" for nb in found["nb"]])
    axes.minorticks_off()
    axes.set_xlabel("n b")
    axes.set_ylabel("test score / %")
    axes.legend(fontsize=8)
    axes.set_title("a point a cell (n, b), mean over seeds", fontsize="medium")
    return figure


def _numbers(of: xr.Dataset) -> dict[str, Any]:
    trend = of.sel(along="n b")
    return {
        "slope": float(trend["slope"]),
        "low": float(trend["slope_low"]),
        "high": float(trend["slope_high"]),
        "spread": float(of["spread"]),
        "chance": float(of["chance"]),
    }
