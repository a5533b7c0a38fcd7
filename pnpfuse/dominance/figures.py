"""Laziness as a figure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse.dominance.tables import FUSION, chosen
from pnpfuse.figures import ANION, CATION, GREY, blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

READ = {  # variable: its reference, mark, colour, offset, what it is
    "probe": ("alone_probe", "o", ANION, -0.14, "linear probe of what the joint model makes of it"),
    "only": ("alone", "D", CATION, 0.14, "the joint model, the others missing"),
}


def laziness_figure(
    dataset: xr.Dataset, score: str = "accuracy", command: str = "pnpfuse laziness"
) -> Figure:
    """A panel a modality and one for the fusion, a line a model; the references as bands.

    Parameters
    ----------
    dataset : xarray.Dataset
        From `laziness`.
    score : {"accuracy", "balanced_accuracy"}
    command : str
        What made it, for the caption.

    Notes
    -----
    Marks are means over the seeds, whiskers one standard deviation. The band of the same colour is
    the modality trained alone and read in the same way: how far a mark lies left of it is the
    model's laziness (probe) or underuse (only). Dotted: always naming the most frequent class.
    """
    values = chosen(dataset, score)
    names, models = values["modality"].values, values["model"].values
    count = len(names) + 1
    columns = min(4, count)
    rows = -(-count // columns)
    width, height = 1.8 + 2.4 * columns, rows * (0.9 + 0.3 * len(models)) + 1.4
    figure = blank_figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    best = str(values["best"].values)
    for axis, name in zip(axes.flat, names, strict=False):
        for variable, (reference, mark, color, offset, said) in READ.items():
            _reference(axis, values[reference].sel(modality=name), color)
            _marks(axis, values[variable].sel(modality=name), mark, color, offset, said)
        axis.set_title(str(name), fontsize=9, parse_math=False)
    last = axes.flat[len(names)]
    _reference(last, values["alone"].sel(modality=best), CATION)
    _marks(last, values["fused"], "s", GREY, 0.0, "all modalities present")
    last.set_title(f"{FUSION} (band: {best} alone)", fontsize=9, parse_math=False)
    for k, axis in enumerate(axes.flat):
        axis.set_visible(k < count)
        axis.axvline(100 * float(values["chance"]), color="0.6", ls=":", lw=1.0, zorder=0)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.set_yticks(range(len(models)), [] if k % columns else list(map(str, models)))
        axis.tick_params(labelsize=8, labelbottom=True)
        axis.spines[["top", "right"]].set_visible(False)
    handles: dict[str, Any] = {}
    for axis in (axes.flat[0], last):
        found, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    figure.legend(
        handles=list(handles.values()), labels=list(handles), frameon=False, ncols=2, fontsize=8,
        loc="outside upper center",
    )  # fmt: skip
    seeds = values.sizes["seed"]
    caption = (
        f"test {score.replace('_', ' ')} / %\n{dataset.attrs.get('data', '')}, "
        + (f"mean ± one sd over {seeds} seeds" if seeds > 1 else "one seed")
        + "; bands: trained alone, read in the same way; dotted: the most frequent class\n"
        + textwrap.fill(command, int(13 * width))
    )
    figure.supxlabel(caption, fontsize=8, parse_math=False)
    return figure


def _reference(axis: Axes, alone: xr.DataArray, color: str) -> None:
    mean = 100 * float(alone.mean())
    sd = 100 * float(alone.std(ddof=1)) if alone.size > 1 else 0.0
    axis.axvline(mean, color=color, lw=1.0, zorder=1)
    axis.axvspan(mean - sd, mean + sd, color=color, alpha=0.15, lw=0, zorder=0)


def _marks(
    axis: Axes, scores: xr.DataArray, mark: str, color: str, offset: float, said: str
) -> None:
    percent = 100 * scores.transpose("model", "seed")
    sd = percent.std("seed", ddof=1).values if percent.sizes["seed"] > 1 else None
    lines = np.arange(percent.sizes["model"]) + offset
    axis.errorbar(
        percent.mean("seed").values, lines, xerr=sd, fmt=mark, ms=5, color=color, capsize=2,
        label=said, zorder=2,
    )  # fmt: skip
