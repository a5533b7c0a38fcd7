"""How each panel of a diagnosis is drawn, on a figure or a strip of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse.diagnosis.findings import chief_points
from pnpfuse.figures import CYCLE, GREY, MARK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 0.23  # inches for a label
_FAINT = "0.8"
_MOST = 4  # panels beside each other
_DECADES = 30.0  # a range from which on it is drawn by its logarithm


def conflict_size(diagnostics: xr.Dataset) -> tuple[float, float]:
    """Inches (width, height) that `draw_conflict` needs."""
    columns = min(_MOST, len(chief_points(diagnostics)))
    return 1.2 + 2.6 * columns, 0.9 + 2.0 * diagnostics.sizes["loss"]


def draw_conflict(canvas: Any, diagnostics: xr.Dataset) -> None:
    """Histograms of the rows' cosines: a row a loss, a column a point."""
    points, losses = chief_points(diagnostics)[:_MOST], diagnostics["loss"].values
    axes = canvas.subplots(len(losses), len(points), squeeze=False, sharex=True)
    cosines = diagnostics["sample_cosine"].sel(point=points)
    reach = min(1.0, 1.05 * float(np.nanmax(np.abs(cosines.values), initial=0.05)))
    for line, loss in zip(axes, losses, strict=True):
        for axis, point in zip(line, points, strict=True):
            here = diagnostics.sel(loss=loss, point=point)
            found = here["sample_cosine"].values
            found = found[np.isfinite(found)]
            heights = axis.hist(found, bins=np.linspace(-reach, reach, 51), color=CYCLE[0])[0]
            axis.axvline(0.0, color=GREY, lw=0.8)
            axis.set_ylim(0, max(1.0, 1.4 * heights.max()))  # room for what is written
            axis.yaxis.get_major_locator().set_params(integer=True)
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


def lines_size(dim: str, panels: int) -> Callable[[xr.Dataset], tuple[float, float]]:
    """What tells the inches for so many panels with a line for each entry of `dim`."""
    return lambda diagnostics: (
        1.8 + 2.4 * panels,
        0.9 + _LINE * max(3, diagnostics.sizes.get(dim, 0)),
    )


def draw_smoothness(canvas: Any, diagnostics: xr.Dataset) -> None:
    """Spread, energy, Rayleigh quotient and distances of every point; bars are noise."""
    titles = {
        "relative_spread": "spread / size",
        "dirichlet_energy": "Dirichlet energy",
        "rayleigh_quotient": "Rayleigh quotient",
        "mean_average_distance": "mean average distance",
    }
    axes = _draw_lines(canvas, diagnostics, titles)
    beside = {"rayleigh_quotient": "rayleigh_noise", "mean_average_distance": "distance_noise"}
    for name in beside:
        if name in axes and beside[name] in diagnostics:
            _bars(axes[name], diagnostics[beside[name]])
    for name in ("relative_spread", "dirichlet_energy"):
        values = np.asarray(diagnostics.get(name, np.nan))
        if np.nanmin(values, initial=np.inf) * _DECADES < np.nanmax(values, initial=0.0):
            axes[name].set_xscale("symlog" if (values == 0).any() else "log")


def draw_geometry(canvas: Any, diagnostics: xr.Dataset) -> None:
    """Effective rank and uniformity of every point."""
    titles = {"effective_rank": "effective rank (bar: width)", "uniformity": "uniformity"}
    axis = _draw_lines(canvas, diagnostics, titles)["effective_rank"]
    if "width" in diagnostics:
        _bars(axis, diagnostics["width"])
    axis.set_xlim(left=0)


def closeness_size(diagnostics: xr.Dataset) -> tuple[float, float]:
    """Inches (width, height) that `draw_closeness` needs."""
    count = int(np.isfinite(diagnostics["alignment"]).sum())
    return 6.6, 0.9 + _LINE * max(3, count)


def draw_closeness(canvas: Any, diagnostics: xr.Dataset) -> None:
    """Alignment and gap of the pairs."""
    titles = {
        "alignment": "alignment (2: unrelated, 4: opposite)",
        "modality_gap": "gap (2: opposite)",
    }
    some = diagnostics.isel(pair=np.isfinite(diagnostics["alignment"].values))
    for axis in _draw_lines(canvas, some, titles, "pair").values():
        axis.set_xlim(left=0)


def _bars(axis: Axes, values: xr.DataArray) -> None:
    axis.plot(values, np.arange(values.size), "|", color=GREY, ms=9)


def _draw_lines(
    canvas: Any, diagnostics: xr.Dataset, titles: Mapping[str, str], dim: str = "point"
) -> dict[str, Axes]:
    """A panel a variable that there is, a line a label, a dot a number; {variable: its axes}."""
    labels = list(map(str, diagnostics[dim].values))
    titles = {name: title for name, title in titles.items() if name in diagnostics}
    axes = canvas.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    lines = np.arange(len(labels))
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        axis.axvline(0.0, color=_FAINT, lw=0.8, zorder=0)
        axis.plot(diagnostics[name], lines, "o", ms=4, color=CYCLE[0])
        axis.set_xlabel(title, fontsize=8)
        _name_lines(axis, labels)
    return dict(zip(titles, axes, strict=True))


def similarity_size(diagnostics: xr.Dataset) -> tuple[float, float]:
    """Inches (width, height) that `draw_similarity` needs."""
    side = 1.6 + 1.2 * _LINE * diagnostics.sizes["point"]
    return side + 1.6, side + 0.4


def draw_similarity(canvas: Any, diagnostics: xr.Dataset) -> None:
    """The matrix of CKA between the points."""
    points = list(map(str, diagnostics["point"].values))
    axis = canvas.subplots()
    image = axis.imshow(diagnostics["cka"].values, vmin=0, vmax=1, cmap="viridis")
    axis.set_xticks(range(len(points)), points, rotation=90, fontsize=7)
    axis.set_yticks(range(len(points)), points, fontsize=7)
    for (i, k), value in np.ndenumerate(diagnostics["cka"].values):
        if np.isfinite(value):
            color = "black" if value > 0.5 else "white"
            axis.text(k, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=color)
    bar = canvas.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label("CKA (1 alike, 0 unrelated)", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def draw_information(canvas: Any, diagnostics: xr.Dataset) -> None:
    """Mutual information of the pairs with its interval."""
    axis = _draw_interval(canvas, diagnostics, "pair", "mutual_information")
    null, lines = diagnostics["mutual_information_null"], np.arange(diagnostics.sizes["pair"])
    axis.plot(null, lines, "|", ms=9, color=CYCLE[3], label="shuffled")
    axis.set_xlabel("mutual information / nat", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def draw_labels(canvas: Any, diagnostics: xr.Dataset) -> None:
    """What the points know of the labels."""
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


def _name_lines(axis: Axes, labels: Sequence[str]) -> None:
    axis.set_yticks(range(len(labels)), labels, fontsize=7)
    axis.set_ylim(max(1, len(labels)) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="y", color="0.93", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
