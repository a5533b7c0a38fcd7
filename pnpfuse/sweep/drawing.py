"""What the figures of a sweep have in common: a style for each n, panels, the line n b = 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.figures import CYCLE, blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPh8p"
SMALL = 7  # points, of legends and ticks
ONE: dict[str, Any] = {"color": "black", "lw": 0.9, "ls": "--"}  # the line n b = 1 of PMR


def styles(n: NDArray) -> list[dict[str, Any]]:
    """Colour and marker of each n, alike in all figures."""
    if len(n) <= len(CYCLE):
        colours: Sequence[Any] = CYCLE
    else:
        import matplotlib

        colours = list(matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(n))))
    return [
        {"color": colour, "marker": MARKERS[i % len(MARKERS)]}
        for i, colour in zip(range(len(n)), colours, strict=False)
    ]


def panels(count: int, width: float, height: float, most: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of so many inches, at most `most` in a row."""
    columns = min(most, count)
    rows = -(-count // columns)
    figure = blank_figure(max(4.6, 0.8 + width * columns), height * rows + 1.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, list(axes[:count])


def plain_axis(axis: Axes) -> None:
    """Only the two spines that carry ticks, and small ticks."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=SMALL)


def scale_log(axis: Any) -> None:
    """A logarithmic axis (an XAxis or YAxis) whose ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low)
    subs = (1, 1.5, 2, 3, 4, 5, 6, 8) if decades < 0.8 else (1, 2, 5) if decades < 2.6 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def n_handles(n: NDArray) -> list[Any]:
    """A legend entry for each n."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], ms=4, lw=1, label=f"n = {value:g}", **style)
        for value, style in zip(n, styles(n), strict=True)
    ]


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend for all panels, above them, in as many columns as the figure is wide."""
    widest = 0.55 + 0.058 * max(len(handle.get_label()) for handle in handles)  # inches
    columns = max(1, int(figure.get_size_inches()[0] / widest))
    rows = -(-len(handles) // columns)
    figure.legend(
        handles=handles, frameon=False, fontsize=SMALL, loc="outside upper center",
        ncols=-(-len(handles) // rows), columnspacing=1.2,
    )  # fmt: skip


def has_physics(sweep: xr.Dataset) -> bool:
    """Whether the sweep is of a model with shared parts, for which physics has a boundary."""
    return {"width", "physical_b"} <= set(sweep.variables)


def binding(sweep: xr.Dataset) -> dict[str, float]:
    """{modality: l*/l_k}, the n b below which its shared part has a rank below l*."""
    width = sweep["width"].values.astype(float)
    return dict(zip(names_of(sweep), (width.min() / width).tolist(), strict=True))


def names_of(sweep: xr.Dataset) -> list[str]:
    """The modalities."""
    return [str(name) for name in sweep["modality"].values]
