"""Figures of a diagnosis: the Dataset of `diagnose` in, a matplotlib Figure out."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from pnpfuse.diagnosis.drawing import (
    closeness_size,
    conflict_size,
    draw_closeness,
    draw_conflict,
    draw_geometry,
    draw_information,
    draw_labels,
    draw_similarity,
    draw_smoothness,
    lines_size,
    similarity_size,
)
from pnpfuse.figures import GREY, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Relative spread, energy, Rayleigh quotient and mean average distance of every point.

    The bars are those of Gaussian noise.
    """
    return PANELS["smoothness"].figure(diagnostics)


def geometry_figure(diagnostics: xr.Dataset) -> Figure:
    """Effective rank beside the width, and uniformity, of every point."""
    return PANELS["geometry"].figure(diagnostics)


def similarity_figure(diagnostics: xr.Dataset) -> Figure:
    """CKA between every two points, as a matrix."""
    return PANELS["similarity"].figure(diagnostics)


def closeness_figure(diagnostics: xr.Dataset) -> Figure:
    """Alignment and gap of every pair of points in one space."""
    return PANELS["closeness"].figure(diagnostics)


def information_figure(diagnostics: xr.Dataset) -> Figure:
    """Information between the points of every pair: estimate, 95 % interval, shuffled null."""
    return PANELS["information"].figure(diagnostics)


def label_figure(diagnostics: xr.Dataset) -> Figure:
    """Information of every point about the labels with its 95 % interval, and all there is."""
    return PANELS["labels"].figure(diagnostics)


PANELS = {
    "conflict": Panel(
        "sample_cosine",
        "Cosine between the gradients of two losses, row by row; the line is at 0.",
        conflict_size,
        draw_conflict,
    ),
    "smoothness": Panel(
        "rayleigh_quotient",
        "Smoothness on the graph of nearest neighbours, by points; bars are those of noise.",
        lines_size("point", 4),
        draw_smoothness,
    ),
    "geometry": Panel(
        "effective_rank",
        "Effective rank beside the number of features, and uniformity, by points.",
        lines_size("point", 2),
        draw_geometry,
    ),
    "similarity": Panel(
        "cka",
        "Centred kernel alignment between every two points.",
        similarity_size,
        draw_similarity,
    ),
    "closeness": Panel(
        "alignment",
        "Alignment and gap of two points in one space; 0 where they are the same.",
        closeness_size,
        draw_closeness,
    ),
    "information": Panel(
        "mutual_information",
        "Information between two points, its 95 % interval, and what shuffled data give.",
        lines_size("pair", 2),
        draw_information,
    ),
    "labels": Panel(
        "label_information",
        "Information about the labels, its 95 % interval, and all that there is to know.",
        lines_size("point", 2),
        draw_labels,
    ),
}


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
