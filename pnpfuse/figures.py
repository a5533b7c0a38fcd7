"""Figures of results: a Dataset in, a matplotlib Figure out."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pnpfuse.findings import condition_label, near_best
from pnpfuse.storage import save_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colour-blind safe (Okabe and Ito).
CATION, ANION, MARK, GREY = "#D55E00", "#0072B2", "#009E73", "#555555"
CYCLE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
METERS_TO_NM = 1e9


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    from pnpfuse_solvers.canvas import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained", dpi=130)


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    figure = blank_figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def cell_figure(*solutions: xr.Dataset, names: Sequence[str] = (), command: str = "") -> Figure:
    """Potential and concentrations over x with the interface b marked, a column a solution.

    Parameters
    ----------
    *solutions : xarray.Dataset
        From `solve_equilibrium`, at least one.
    names : sequence of str
        What the cells are called, to stand above them.
    command : str
        What made them, for the caption.
    """
    if not solutions:
        raise ValueError("solutions: got none; give at least one solved cell")
    figure, axes = _figure(2, len(solutions), max(4.2, 3.4 * len(solutions)), 5.2)
    for column, solution in enumerate(solutions):
        x = solution["x"].values * METERS_TO_NM
        top, bottom = axes[:, column]
        top.plot(x, solution["reduced_potential"], color=GREY)
        top.axhline(0.0, color="0.85", lw=0.8, zorder=0)
        for c, z in zip(solution["concentration"], solution["valence"], strict=True):
            positive = float(z) > 0
            bottom.plot(
                x, c, color=CATION if positive else ANION, ls="-" if positive else "--",
                label=f"{c['species'].item()} ({float(z):+.3g})",
            )  # fmt: skip
        bottom.set_yscale("log")
        bottom.set_ylim(*_concentration_range(solution))
        _mark_interface(top, bottom, solution)
        bottom.set_xlabel("x / nm")
        name = f"{names[column]}: " if names else ""
        top.set_title(name + _cell_title(solution), fontsize=9, parse_math=False)
        bottom.legend(frameon=False, fontsize=7)
    axes[0, 0].set_ylabel("potential / (kB T/e)")
    axes[1, 0].set_ylabel("concentration / m$^{-3}$")
    if command:
        said = "dotted: the interface, where cations and anions are equally many\n"
        columns = int(13 * figure.get_figwidth())
        figure.supxlabel(said + textwrap.fill(command, columns), fontsize=8, parse_math=False)
    return figure


def _concentration_range(solution: xr.Dataset) -> tuple[float, float]:
    """Six decades, or as many as it takes to show the crossing at the interface."""
    c = solution["concentration"]
    floor = max(float(c.min()), float(c.max()) * 1e-6)
    crossing = c.interp(x=float(solution["interface"])) if np.isfinite(solution["interface"]) else c
    return min(floor, float(crossing.min()) / 10) / 2, float(c.max()) * 2


def _cell_title(solution: xr.Dataset) -> str:
    u = solution["reduced_potential"].values
    return (
        f"{solution.attrs['contact']}, {u[0]:+.3g} to {u[-1]:+.3g} kB T/e\n"
        f"l/λ_D = {float(solution['length_ratio']):.3g}"
    )


def _mark_interface(top: Axes, bottom: Axes, solution: xr.Dataset) -> None:
    b = float(solution["interface"]) * METERS_TO_NM
    if np.isnan(b):
        top.text(0.5, 0.9, "no interface", transform=top.transAxes, ha="center", color=MARK)
        return
    for axis in (top, bottom):
        axis.axvline(b, color=MARK, ls=":", lw=1.2)
    ratio = float(solution["interface"] / solution["length"])
    top.annotate(
        f"b = {b:.3g} nm = {ratio:.4f} l", (b, 0.9), xycoords=("data", "axes fraction"),
        color=MARK, fontsize=8, xytext=(4, 0), textcoords="offset points",
    )  # fmt: skip


def separation_figure(lengths: xr.Dataset) -> Figure:
    """Separation over the cell length, a line a voltage.

    Parameters
    ----------
    lengths : xarray.Dataset
        ``separation`` over (length_ratio, voltage).
    """
    figure, axes = _figure(1, 1, 4.8, 3.2)
    axis = axes[0, 0]
    for color, voltage in zip(CYCLE, lengths["voltage"].values, strict=False):
        line = lengths["separation"].sel(voltage=voltage)
        axis.plot(lengths["length_ratio"], line, "o-", ms=3, color=color, label=f"{voltage:g}")
    axis.set(xscale="log", xlabel="l / λ_D", ylabel="share on its own side", ylim=(0.48, 1.02))
    axis.legend(title="voltage / (kB T/e)", frameon=False, fontsize=8, title_fontsize=8)
    return figure


def comparison_figure(comparison: xr.Dataset) -> Figure:
    """Accuracy of each model, all modalities present and each one missing; bars are +- one sd.

    Parameters
    ----------
    comparison : xarray.Dataset
        From `compare`.
    """
    accuracy = 100 * comparison["accuracy"]
    wanted = [c for c in accuracy["condition"].values if not c.startswith("only:")]
    figure, axes = _figure(1, 1, 8.0, 3.6)
    axis = axes[0, 0]
    models = list(accuracy["model"].values)
    width = 0.8 / len(models)
    for i, model in enumerate(models):
        values = accuracy.sel(model=model, condition=wanted)
        spread = values.std("seed", ddof=1) if values.sizes["seed"] > 1 else None
        axis.bar(
            np.arange(len(wanted)) + (i - (len(models) - 1) / 2) * width, values.mean("seed"),
            width, yerr=spread, color=CYCLE[i % len(CYCLE)], capsize=2, label=model,
        )  # fmt: skip
    axis.set_xticks(range(len(wanted)), [condition_label(str(c)) for c in wanted], fontsize=8)
    axis.set(ylabel="test accuracy / %", ylim=(0, 105))
    figure.legend(frameon=False, ncols=len(models), fontsize=8, loc="outside upper center")
    return figure


def spread_figure(comparison: xr.Dataset) -> Figure:
    """A panel a condition, a line a model: every seed's accuracy, their mean and +- one sd.

    Filled marks are within one standard error of the panel's best, hollow ones are not.

    Parameters
    ----------
    comparison : xarray.Dataset
        From `compare`.
    """
    accuracy = 100 * comparison["accuracy"].transpose("model", "seed", "condition")
    conditions, models = accuracy["condition"].values, accuracy["model"].values
    columns = min(4, len(conditions))
    rows = -(-len(conditions) // columns)
    height = rows * (0.8 + 0.22 * len(models))
    figure, axes = _figure(rows, columns, 1.6 + 2.2 * columns, max(2.0, height))
    for axis in axes.flat[len(conditions) :]:
        axis.set_visible(False)
    lines = np.arange(len(models))
    for axis, condition in zip(axes.flat, conditions, strict=False):
        values = accuracy.sel(condition=condition)  # (model, seed)
        near = near_best(values)
        for seed in values["seed"].values:
            axis.plot(values.sel(seed=seed), lines, ".", color="0.75", ms=4, zorder=1)
        sd = values.std("seed", ddof=1) if values.sizes["seed"] > 1 else None
        axis.errorbar(values.mean("seed"), lines, xerr=sd, fmt="none", color=GREY, capsize=2)
        for line, mean, filled in zip(lines, values.mean("seed").values, near, strict=True):
            axis.plot(mean, line, "o", ms=5, color=ANION, mfc=ANION if filled else "white")
        axis.set_title(condition_label(str(condition)), fontsize=8)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.tick_params(labelsize=7)
    for axis in axes.flat:
        axis.set_yticks(lines, [])
    for axis in axes[:, 0]:
        axis.set_yticks(lines, list(map(str, models)), fontsize=8)
    figure.supxlabel("test accuracy / %", fontsize=8)
    return figure


def history_figure(history: xr.Dataset) -> Figure:
    """Losses over the epochs, with validation accuracy and learning rates where there are some.

    The bounds of a model that has some stand beside them, under the highest that they can be.

    Parameters
    ----------
    history : xarray.Dataset
        From `History.to_dataset`.
    """
    panels = {
        ("_loss",): "loss",
        ("_accuracy",): "accuracy",
        ("_bound", "_ceiling"): "bound on the information / nat",
        ("_weight",): "weight of the loss",
        ("learning_rate",): "learning rate",
    }
    shown = {
        label: names
        for endings, label in panels.items()
        if (names := [str(name) for name in history.data_vars if str(name).endswith(endings)])
    }
    figure, axes = _figure(1, len(shown), 3.6 * len(shown), 3.2)
    for axis, (label, names) in zip(axes[0], shown.items(), strict=True):
        for i, name in enumerate(names):
            ceiling = name.endswith("_ceiling")
            axis.plot(
                history["epoch"], history[name],
                color=GREY if ceiling else CYCLE[i % len(CYCLE)], ls="--" if ceiling else "-",
                label=name.removesuffix("_loss").replace("_", " "),
            )  # fmt: skip
        if "best_epoch" in history.attrs:
            axis.axvline(history.attrs["best_epoch"], color=MARK, ls=":", lw=1.2)
        axis.set(xlabel="epoch", ylabel=label)
        axis.legend(frameon=False, fontsize=7)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, without a date, so that equal figures are equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a PNG file; ValueError for a path with another ending."""
    if not str(path).endswith(".png"):
        raise ValueError(f"path: got {str(path)!r}; figures are PNG files, give a name in .png")
    return save_bytes(png(figure), path)
