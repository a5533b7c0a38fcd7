"""Figures of a diagnosis: the Dataset of `diagnose` in, a matplotlib Figure out."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from pnpfuse.diagnosis.findings import chief_points
from pnpfuse.figures import CYCLE, GREY, MARK, blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.23  # inches for a label
_FAINT = "0.8"
_MOST = 4  # panels beside each other
_LEGIBLE = 8  # points of a matrix with its numbers written in
_DECADES = 30.0  # a range from which on it is drawn by its logarithm


class Panel(NamedTuple):
    """A figure, or a strip of the page.

    Attributes
    ----------
    needs : the variable without which there is nothing to draw
    said : what it shows, in a sentence
    size : width and height in inches that the Dataset takes
    draw : draws the Dataset on a figure or a part of one
    """

    needs: str
    said: str
    size: Callable[[xr.Dataset], tuple[float, float]]
    draw: Callable[[Any, xr.Dataset], None]

    def figure(self, diagnostics: xr.Dataset) -> Figure:
        """A figure of its own; ValueError where there is nothing to draw."""
        if self.needs not in diagnostics:
            raise ValueError(
                f"diagnostics has no {self.needs}; give a Dataset from diagnose that measured it"
            )
        figure = blank_figure(*self.size(diagnostics))
        self.draw(figure, diagnostics)
        return _captioned(figure, diagnostics)


def diagnosis_figure(diagnostics: xr.Dataset) -> Figure:
    """One page with all that the Dataset has numbers for, a strip for each of the figures below.

    Parameters
    ----------
    diagnostics : xarray.Dataset
        From `diagnose`; ``diagnostics.sel(point=..., other_point=...)`` leaves points out.

    Raises
    ------
    ValueError
        for a Dataset without any of the variables
    """
    panels = [panel for panel in PANELS.values() if panel.needs in diagnostics]
    if not panels:
        raise ValueError(
            f"diagnostics has {list(diagnostics.data_vars)}; give a Dataset from diagnose"
        )
    widths, heights = zip(*(panel.size(diagnostics) for panel in panels), strict=True)
    figure = blank_figure(max(widths), sum(heights))
    strips = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)
    for panel, strip in zip(panels, strips[:, 0], strict=True):
        panel.draw(strip, diagnostics)
    return _captioned(figure, diagnostics)


def conflict_figure(diagnostics: xr.Dataset) -> Figure:
    """How the gradient of each loss lies to the main one's: rows over the cosine.

    A line of panels a loss, a column a point, those that comprise others first.
    """
    return PANELS["conflict"].figure(diagnostics)


def smoothness_figure(diagnostics: xr.Dataset) -> Figure:
    """Dirichlet energy, Rayleigh quotient and mean average distance of every point."""
    return PANELS["smoothness"].figure(diagnostics)


def geometry_figure(diagnostics: xr.Dataset) -> Figure:
    """Effective rank beside the width, and uniformity, of every point."""
    return PANELS["geometry"].figure(diagnostics)


def similarity_figure(diagnostics: xr.Dataset) -> Figure:
    """CKA between every two points, as a matrix."""
    return PANELS["similarity"].figure(diagnostics)


def information_figure(diagnostics: xr.Dataset) -> Figure:
    """Information between the points of every pair: estimate, 95 % interval, shuffled null."""
    return PANELS["information"].figure(diagnostics)


def label_figure(diagnostics: xr.Dataset) -> Figure:
    """Information of every point about the labels with its 95 % interval, and all there is."""
    return PANELS["labels"].figure(diagnostics)


def _conflict_size(diagnostics: xr.Dataset) -> tuple[float, float]:
    columns = min(_MOST, len(chief_points(diagnostics)))
    return 1.2 + 2.6 * columns, 0.9 + 2.0 * diagnostics.sizes["loss"]


def _draw_conflict(canvas: Any, diagnostics: xr.Dataset) -> None:
    points, losses = chief_points(diagnostics)[:_MOST], diagnostics["loss"].values
    axes = canvas.subplots(len(losses), len(points), squeeze=False, sharex=True)
    cosines = diagnostics["sample_cosine"].sel(point=points)
    reach = min(1.0, 1.05 * float(np.nanmax(np.abs(cosines.values), initial=0.05)))
    for line, loss in zip(axes, losses, strict=True):
        for axis, point in zip(line, points, strict=True):
            here = diagnostics.sel(loss=loss, point=point)
            found = here["sample_cosine"].values
            found = found[np.isfinite(found)]
            axis.hist(found, bins=np.linspace(-reach, reach, 51), color=CYCLE[0])
            axis.axvline(0.0, color=GREY, lw=0.8)
            said = f"{float(here['conflict_rate']):.0%} below 0" if found.size else "no gradient"
            if 0 < (lost := float(here["undefined_rate"])) < 1:
                said += f"\n{lost:.0%} undefined"
            axis.text(0.03, 0.97, said, transform=axis.transAxes, va="top", fontsize=8, color=MARK)
            axis.set_title(point, fontsize=8)
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(f"rows, {loss}", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel(f"cosine with {diagnostics.attrs.get('main', 'main')}", fontsize=8)


def _lines_size(dim: str, panels: int) -> Callable[[xr.Dataset], tuple[float, float]]:
    return lambda diagnostics: (
        1.8 + 2.4 * panels,
        0.9 + _LINE * max(3, diagnostics.sizes.get(dim, 0)),
    )


def _draw_smoothness(canvas: Any, diagnostics: xr.Dataset) -> None:
    titles = {
        "dirichlet_energy": "Dirichlet energy",
        "rayleigh_quotient": "Rayleigh quotient",
        "mean_average_distance": "mean average distance",
    }
    axes = _draw_lines(canvas, diagnostics, titles)
    energy = np.asarray(diagnostics.get("dirichlet_energy", np.nan))
    if np.nanmin(energy, initial=np.inf) * _DECADES < np.nanmax(energy, initial=0.0):
        axes["dirichlet_energy"].set_xscale("symlog" if (energy == 0).any() else "log")


def _draw_geometry(canvas: Any, diagnostics: xr.Dataset) -> None:
    titles = {"effective_rank": "effective rank (bar: width)", "uniformity": "uniformity"}
    axis = _draw_lines(canvas, diagnostics, titles)["effective_rank"]
    lines = np.arange(diagnostics.sizes["point"])
    axis.plot(diagnostics["width"], lines, "|", color=GREY, ms=9)
    axis.set_xlim(left=0)


def _draw_lines(canvas: Any, diagnostics: xr.Dataset, titles: Mapping[str, str]) -> dict:
    """A panel a variable, a line a point, a dot a number; {variable: its axes}."""
    points = list(map(str, diagnostics["point"].values))
    axes = canvas.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    lines = np.arange(len(points))
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        axis.axvline(0.0, color=_FAINT, lw=0.8, zorder=0)
        if name in diagnostics:
            axis.plot(diagnostics[name], lines, "o", ms=4, color=CYCLE[0])
        axis.set_xlabel(title, fontsize=8)
        _name_lines(axis, points)
    return dict(zip(titles, axes, strict=True))


def _similarity_size(diagnostics: xr.Dataset) -> tuple[float, float]:
    side = 1.6 + 1.2 * _LINE * diagnostics.sizes["point"]
    return side + 1.6, side + 0.4


def _draw_similarity(canvas: Any, diagnostics: xr.Dataset) -> None:
    points = list(map(str, diagnostics["point"].values))
    axis = canvas.subplots()
    image = axis.imshow(diagnostics["cka"].values, vmin=0, vmax=1, cmap="viridis")
    axis.set_xticks(range(len(points)), points, rotation=90, fontsize=7)
    axis.set_yticks(range(len(points)), points, fontsize=7)
    for (i, k), value in np.ndenumerate(diagnostics["cka"].values):
        if len(points) <= _LEGIBLE and np.isfinite(value):
            color = "black" if value > 0.5 else "white"
            axis.text(k, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    bar = canvas.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label("CKA (1 alike, 0 unrelated)", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_information(canvas: Any, diagnostics: xr.Dataset) -> None:
    axis = _draw_interval(canvas, diagnostics, "pair", "mutual_information")
    null, lines = diagnostics["mutual_information_null"], np.arange(diagnostics.sizes["pair"])
    axis.plot(null, lines, "|", ms=9, color=CYCLE[3], label="shuffled")
    axis.set_xlabel("mutual information / nat", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _draw_labels(canvas: Any, diagnostics: xr.Dataset) -> None:
    axis = _draw_interval(canvas, diagnostics, "point", "label_information")
    whole, lines = diagnostics["label_entropy"], np.arange(diagnostics.sizes["point"])
    axis.plot(whole, lines, "|", ms=9, color=GREY, label="entropy of the labels")
    axis.set_xlabel("information about the labels / nat", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _draw_interval(canvas: Any, diagnostics: xr.Dataset, dim: str, name: str) -> Axes:
    """A line a label: the estimate as a dot on its interval."""
    axis, lines = canvas.subplots(), np.arange(diagnostics.sizes[dim])
    low, high = (diagnostics[f"{name}_{end}"].values for end in ("low", "high"))
    axis.hlines(lines, low, high, color=CYCLE[0], lw=1.2)
    axis.plot(diagnostics[name], lines, "o", ms=4, color=CYCLE[0], label="estimate, 95 % interval")
    axis.axvline(0.0, color=_FAINT, lw=0.8, zorder=0)
    _name_lines(axis, list(map(str, diagnostics[dim].values)))
    return axis


PANELS = {
    "conflict": Panel(
        "sample_cosine",
        "Cosine between the gradients of two losses, row by row; the line is at 0.",
        _conflict_size,
        _draw_conflict,
    ),
    "smoothness": Panel(
        "rayleigh_quotient",
        "Smoothness on the graph of nearest neighbours, by points.",
        _lines_size("point", 3),
        _draw_smoothness,
    ),
    "geometry": Panel(
        "effective_rank",
        "Effective rank beside the number of features, and uniformity, by points.",
        _lines_size("point", 2),
        _draw_geometry,
    ),
    "similarity": Panel(
        "cka",
        "Centred kernel alignment between every two points.",
        _similarity_size,
        _draw_similarity,
    ),
    "information": Panel(
        "mutual_information",
        "Information between two points, its 95 % interval, and what shuffled data give.",
        _lines_size("pair", 2),
        _draw_information,
    ),
    "labels": Panel(
        "label_information",
        "Information about the labels, its 95 % interval, and all that there is to know.",
        _lines_size("point", 2),
        _draw_labels,
    ),
}


def _name_lines(axis: Axes, labels: Sequence[str]) -> None:
    axis.set_yticks(range(len(labels)), labels, fontsize=7)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="y", color="0.93", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _captioned(figure: Figure, diagnostics: xr.Dataset) -> Figure:
    """The figure with what made it below."""
    letters = int(19 * figure.get_size_inches()[0])
    figure.supxlabel(textwrap.fill(caption(diagnostics), letters), fontsize=6, color=GREY)
    return figure


def caption(diagnostics: xr.Dataset) -> str:
    """What was diagnosed, and the call that did it."""
    said = diagnostics.attrs
    settings = ", ".join(
        f"{name}={said[name]}"
        for name in ("neighbours", "components", "max_rows", "seed")
        if name in said
    )
    return (
        f"{said.get('model', 'model')} on {said.get('data', 'data')}, rows: "
        f"{said.get('rows', 'unknown')}; pnpfuse.diagnose(model, data, {settings})"
    )
