"""Accuracy against n b, as in PMR Fig. 3: the Dataset of a sweep in, a matplotlib Figure out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse.figures import GREY, blank_figure
from pnpfuse.findings import condition_label
from pnpfuse.fusion.arguments import check_choice
from pnpfuse.sweep.captions import captioned
from pnpfuse.sweep.cells import axis_label, check_sweep, diverged, product, values_of
from pnpfuse.sweep.drawing import (
    ONE,
    binding,
    has_physics,
    legend,
    n_handles,
    names_of,
    plain_axis,
    scale_log,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VARIABLES = ("accuracy", "balanced_accuracy")
Baseline = xr.Dataset | float | Mapping[str, float]
BOUND: dict[str, Any] = {"color": "0.88", "lw": 0}  # where the shared part's rank is bounded
STAR: dict[str, Any] = {"marker": "*", "ms": 9, "mec": "black", "mew": 0.6, "ls": "none"}
REFERENCE: dict[str, Any] = {"color": GREY, "lw": 1.0, "ls": ":"}


def sweep_figure(
    sweep: xr.Dataset,
    variable: str = "accuracy",
    *,
    conditions: Iterable[str] | None = None,
    baseline: Baseline | None = None,
    command: str | None = None,
) -> Figure:
    """Accuracy against n b, a line an n, a panel a condition: PMR Fig. 3.

    Points are means over the seeds, bars +- one standard deviation; hollow ones have
    (1 - b) n < 1, which bounds the rank of the specific parts. Stars are where physics puts b: on
    the line of each n, and below, for every modality m, at n b_m(n). There the grey bars end at
    n b = l*/l_m: left of it the rank of the shared part of m is below l*.

    Parameters
    ----------
    sweep : xarray.Dataset
        From `run_sweep`, finished or not.
    variable : str
        "accuracy"; "balanced_accuracy" where classes are unequal.
    conditions : iterable of str or None
        Of ``sweep["condition"]``; None for all present, and the mean over each one missing.
    baseline : xarray.Dataset, float, mapping or None
        A reference that knows no n or b: the Dataset of `compare` with one model or with
        "concat" among them, an accuracy from 0 to 1, or {condition: accuracy}.
    command : str or None
        What made the figure, for its caption; None for the call that the attributes tell of.

    Raises
    ------
    ValueError
        for a Dataset that is no sweep, has no finished point, or lacks a condition
    """
    sweep = check_sweep(sweep)
    accuracy = values_of(sweep, check_choice("variable", variable, VARIABLES))
    shown = _conditions(accuracy, conditions)
    reference = {condition: _reference(baseline, condition, variable) for condition in shown}
    columns, strip = min(3, len(shown)), has_physics(sweep)
    rows = -(-len(shown) // columns)
    heights = [2.6] * rows + ([0.25 + 0.17 * sweep.sizes["modality"]] if strip else [])
    figure = blank_figure(max(5.4, 1.0 + 3.1 * columns), sum(heights) + 1.5)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    first: Axes | None = None
    for i, condition in enumerate(shown):
        row, column = divmod(i, columns)
        axis = bottom = figure.add_subplot(grid[row, column], sharex=first)
        first = first or axis
        _draw(axis, accuracy.sel(condition=condition), sweep, reference[condition])
        axis.set_title(condition_label(condition), fontsize=9)
        if column == 0:
            axis.set_ylabel(axis_label(variable), fontsize=8)
        if strip and row == rows - 1:
            bottom = figure.add_subplot(grid[rows, column], sharex=axis)
            _draw_physics(bottom, sweep, named=column == 0)
            axis.tick_params(labelbottom=False)
        bottom.set_xlabel("n b", fontsize=8)
    for axis in figure.axes:
        scale_log(axis.xaxis)
    handles = n_handles(sweep["n"].values) + _handles(sweep, _name(baseline))
    legend(figure, handles)
    return captioned(figure, sweep, _said(sweep), command)


def _conditions(accuracy: xr.DataArray, wanted: Iterable[str] | None) -> list[str]:
    there = [str(condition) for condition in accuracy["condition"].values]
    if wanted is None:
        return [condition for condition in ("none", "each") if condition in there] or there
    shown = [wanted] if isinstance(wanted, str) else [str(one) for one in wanted]
    unknown = [condition for condition in shown if condition not in there]
    if unknown or not shown:
        raise ValueError(f"conditions: got {unknown or 'none'}; this sweep has {there}")
    return shown


def _reference(baseline: Any, condition: str, variable: str) -> tuple[float, float] | None:
    """Mean and standard deviation of the reference in percent, None where it has none."""
    if isinstance(baseline, xr.Dataset):
        return _of_comparison(baseline, condition, variable)
    value = baseline.get(condition) if isinstance(baseline, Mapping) else baseline
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(
            f"baseline: got {value!r}; give an accuracy from 0 to 1, {{condition: accuracy}} or "
            "the Dataset of compare"
        )
    return 100.0 * float(value), np.nan


def _of_comparison(
    comparison: xr.Dataset, condition: str, variable: str
) -> tuple[float, float] | None:
    if variable not in comparison or not {"seed", "condition"} <= set(comparison.dims):
        raise ValueError(f"baseline has no {variable} over seed and condition; give it by compare")
    accuracy = comparison[variable]
    if "model" in accuracy.dims:
        accuracy = accuracy.sel(model=_name(comparison))
    if condition not in accuracy["condition"].values:
        return None
    values = 100 * accuracy.sel(condition=condition).values
    return float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else np.nan


def _name(baseline: Any) -> str:
    """What the reference is called: the model of a comparison, if it is one; "" for none."""
    if baseline is None or not isinstance(baseline, xr.Dataset) or "model" not in baseline.coords:
        return "" if baseline is None else "reference"
    models = [str(name) for name in np.atleast_1d(baseline["model"].values)]
    plain = [name for name in models if name.lower() == "concat"]
    if len(models) > 1 and not plain:
        raise ValueError(f"baseline has the models {models}; choose one with sel(model=...)")
    return (plain or models)[0]


def _draw(
    axis: Axes, accuracy: xr.DataArray, sweep: xr.Dataset, reference: tuple[float, float] | None
) -> None:
    """One condition, (n, b, seed)."""
    mean, capacity = accuracy.mean("seed").values, product(accuracy)  # (n, b)
    count = accuracy.count("seed").values
    ddof = min(1, accuracy.sizes["seed"] - 1)
    spread = np.where(count > 1, accuracy.std("seed", ddof=ddof).values, 0.0)
    room = np.subtract(sweep["n"].values[:, None], capacity)  # (1 - b) n
    gone = diverged(sweep).values > 0
    plain_axis(axis)
    axis.set_xscale("log")
    axis.axvline(1.0, zorder=0, **ONE)
    for at in sorted(set(binding(sweep).values())) if has_physics(sweep) else ():
        axis.axvline(at, color="0.8", lw=0.8, zorder=0)
    if reference is not None:
        level, sd = reference
        axis.axhline(level, zorder=1, **REFERENCE)
        if np.isfinite(sd):
            axis.axhspan(level - sd, level + sd, color=GREY, alpha=0.12, lw=0, zorder=0)
    for i, style in enumerate(styles(sweep["n"].values)):
        x, there = capacity[i], np.isfinite(mean[i])
        axis.errorbar(
            x[there], mean[i][there], spread[i][there], fmt="-", color=style["color"], lw=1.0,
            elinewidth=0.7, ecolor=(style["color"], 0.5), zorder=2,
        )  # fmt: skip
        for hollow in (False, True):
            chosen = there & ((room[i] < 1 - 1e-9) == hollow)
            axis.plot(
                x[chosen], mean[i][chosen], ls="none", ms=4, zorder=3,
                mfc="white" if hollow and has_physics(sweep) else style["color"], **style,
            )  # fmt: skip
        if gone[i].any():
            axis.plot(
                x[gone[i]], np.full(gone[i].sum(), 0.03), "x", color=style["color"], ms=5,
                transform=axis.get_xaxis_transform(),
            )  # fmt: skip
        if has_physics(sweep):
            _draw_stars(axis, x[there], mean[i][there], sweep.isel(n=i), style["color"])


def _draw_stars(axis: Axes, x: Any, mean: Any, at: xr.Dataset, colour: Any) -> None:
    """Where physics puts b on the line of one n, between its points and not beyond them."""
    wanted = float(at["n"]) * np.unique(np.round(at["physical_b"].values, 4))
    inside = wanted[(wanted >= x.min()) & (wanted <= x.max())] if len(x) else wanted[:0]
    if len(inside):
        axis.plot(inside, np.interp(inside, x, mean), color=colour, zorder=4, **STAR)


def _draw_physics(axis: Axes, sweep: xr.Dataset, named: bool) -> None:
    """A line a modality: n b_m(n) of each n, and where the shared part's rank is bounded."""
    plain_axis(axis)
    axis.axvline(1.0, zorder=0, **ONE)
    bounds = binding(sweep)
    n = sweep["n"].values.astype(float)
    wanted = n[:, None] * sweep["physical_b"].values  # (n, modality)
    left = min(product(sweep).min(), np.nanmin(wanted, initial=1.0), *bounds.values()) / 1.3
    for line, at in enumerate(bounds.values()):
        axis.barh(line, at - left, 0.75, left, color=BOUND["color"], zorder=0)
    for i, style in enumerate(styles(n)):
        for line in range(len(bounds)):
            axis.plot(wanted[i, line], line, color=style["color"], **(STAR | {"ms": 6, "mew": 0.4}))
    axis.set_ylim(len(bounds) - 0.4, -0.6)
    axis.set_xlim(left=left)
    axis.set_yticks(range(len(bounds)), names_of(sweep) if named else [])


def _handles(sweep: xr.Dataset, reference: str) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], label="n b = 1 (PMR)", **ONE)]
    if has_physics(sweep):
        handles += [
            Line2D([], [], color="white", **STAR, label="physics: n b$_m$(n)"),
            Patch(**BOUND, label="rank(shared) < l*"),
            Line2D([], [], ls="none", marker="o", ms=4, mfc="white", color=GREY,
                   label="(1 - b) n < 1"),
        ]  # fmt: skip
    if (diverged(sweep) > 0).any():
        handles.append(Line2D([], [], ls="none", marker="x", ms=5, color=GREY, label="diverged"))
    if reference:
        handles.append(Line2D([], [], label=reference, **REFERENCE))
    return handles


def _said(sweep: xr.Dataset) -> str:
    said = "Mean over the seeds" + (", bars ± one sd." if sweep.sizes["seed"] > 1 else ".")
    if not has_physics(sweep):
        return said
    return said + (
        " Stars: b where the cell of the same n has its interface. Grey up to n b = l*/l_m: the "
        "shared part of m has a rank of at most floor(b n l_m) < l*. Hollow: the specific parts' "
        "ranks are bounded."
    )
