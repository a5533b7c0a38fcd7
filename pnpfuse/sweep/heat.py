"""A variable over n and b as a heat map, with physics' b: a sweep in, a matplotlib Figure out."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.findings import condition_label
from pnpfuse.sweep.captions import captioned
from pnpfuse.sweep.cells import axis_label, best_cells, check_sweep, diverged, values_of
from pnpfuse.sweep.dataset import POINT
from pnpfuse.sweep.drawing import SMALL, has_physics, legend, names_of, panels, scale_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST = ("loss", "training_loss", "conflict_rate")  # the best is the lowest
NO_BEST = ("rank", "effective_rank")
PATHS = ("#E69F00", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "0.8")
STAR: dict[str, Any] = {"marker": "*", "ms": 8, "mec": "black", "mew": 0.5, "ls": "none"}
BEST: dict[str, Any] = {
    "marker": "o",
    "ms": 4,
    "mfc": "white",
    "mec": "black",
    "mew": 0.6,
    "ls": "none",
}
GAP = "0.93"  # the colour of cells without a value


def heat_figure(
    sweep: xr.Dataset,
    variable: str = "accuracy",
    *,
    command: str | None = None,
    **chosen: Any,
) -> Figure:
    """A variable over n and b, mean over the seeds, a panel a condition, modality or loss.

    Dots mark the cells within one standard error of the panel's best (see `best_cells`), crosses
    those where a seed diverged. The lines are physics' b_m(n), and b = 1/n, that is n b = 1.

    Parameters
    ----------
    sweep : xarray.Dataset
        From `run_sweep`, finished or not.
    variable : str
        "accuracy", "gradient_cosine", "conflict_rate", "effective_rank" or another one over the
        points.
    command : str or None
        What made the figure, for its caption; None for the call that the attributes tell of.
    **chosen
        Values of the variable's other dimensions, as ``condition="each"`` or
        ``modality=["image", "text"]``. Without a condition those with all present and the mean
        over each one missing are drawn, of the other dimensions all values.

    Raises
    ------
    ValueError
        for a Dataset that is no sweep, a variable or value that it has not, and for no value
    """
    sweep = check_sweep(sweep)
    values = _chosen(values_of(sweep, variable), chosen)
    others = [str(dim) for dim in values.dims if dim not in POINT]
    picks = [
        dict(zip(others, pick, strict=True))
        for pick in itertools.product(*(values[dim].values for dim in others))
    ]
    figure, axes = panels(len(picks), 2.9, 2.5)
    mean = values.mean("seed")
    scale = {"vmin": float(mean.min()), "vmax": float(mean.max())}
    shared = "condition" not in others  # conditions differ by more than n and b do
    paths = _paths(sweep) if has_physics(sweep) else {}
    for axis, pick in zip(axes, picks, strict=True):
        panel = values.sel(pick)
        mesh = _draw(axis, panel, scale if shared else {})
        _mark(axis, panel, sweep, variable)
        _draw_paths(axis, panel, paths)
        axis.set_title(_title(pick), fontsize=9)
        if not shared:
            _bar(figure, mesh, axis, variable)
    if shared:
        _bar(figure, mesh, axes, variable)
    legend(figure, _handles(sweep, paths, variable))
    return captioned(figure, sweep, _said(variable, values.sizes["seed"]), command)


def _chosen(values: xr.DataArray, chosen: dict[str, Any]) -> xr.DataArray:
    """What is to be drawn, with all its dimensions."""
    others = [str(dim) for dim in values.dims if dim not in POINT]
    strange = sorted(set(chosen) - set(others))
    if strange:
        raise ValueError(f"{strange[0]} is no dimension of {values.name!r}, which has {others}")
    if "condition" in others and "condition" not in chosen:
        there = [name for name in ("none", "each") if name in values["condition"].values]
        chosen = chosen | ({"condition": there} if there else {})
    for dim, wanted in chosen.items():
        wanted = [wanted] if isinstance(wanted, str) else list(wanted)
        there = [str(value) for value in values[dim].values]
        unknown = [value for value in wanted if value not in there]
        if unknown or not wanted:
            raise ValueError(f"{dim}: got {unknown or 'none'}; this sweep has {there}")
        values = values.sel({dim: wanted})
    return values


def _draw(axis: Axes, panel: xr.DataArray, scale: dict[str, Any]) -> Any:
    """The cells of one panel, (n, b, seed)."""
    n, b = _edges(np.log(panel["n"].values)), _edges(panel["b"].values)
    axis.set_facecolor(GAP)
    axis.set_xscale("log")
    mesh = axis.pcolormesh(
        np.exp(n), b.clip(0, 1), panel.mean("seed").values.T, cmap="viridis", **scale
    )
    axis.set(ylim=(0, 1), xlim=(np.exp(n[0]), np.exp(n[-1])))
    scale_log(axis.xaxis)
    n_values = panel["n"].values
    axis.set_xticks(n_values[:: -(-len(n_values) // 7)])  # more would run into each other
    axis.tick_params(labelsize=SMALL)
    axis.set_xlabel("n", fontsize=8)
    axis.set_ylabel("b", fontsize=8)
    return mesh


def _edges(centres: NDArray) -> NDArray:
    """Borders halfway between the values; those at the ends as far out as their neighbours."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.1, 0.1])
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _mark(axis: Axes, panel: xr.DataArray, sweep: xr.Dataset, variable: str) -> None:
    best = None if variable in NO_BEST else best_cells(panel, lowest=variable in LOWEST)
    if best is not None and best.near.any():
        i, j = np.nonzero(best.near)
        axis.plot(panel["n"].values[i], panel["b"].values[j], zorder=5, **BEST)
    gone = diverged(sweep)
    i, j = np.nonzero(gone.values)
    axis.plot(gone["n"].values[i], gone["b"].values[j], "x", color="black", ms=5)


def _paths(sweep: xr.Dataset) -> dict[str, NDArray]:
    """{modalities: their b(n)}; those that agree are one."""
    found: dict[bytes, tuple[list[str], NDArray]] = {}
    for name, path in zip(names_of(sweep), sweep["physical_b"].values.T, strict=True):
        found.setdefault(np.round(path, 3).tobytes(), ([], path))[0].append(name)
    return {", ".join(names): path for names, path in found.values()}


def _draw_paths(axis: Axes, panel: xr.DataArray, paths: dict[str, NDArray]) -> None:
    """Physics' b_m(n), of the panel's modality alone if it is one's, and n b = 1."""
    n = panel["n"].values.astype(float)
    own = str(panel["modality"].item()) if "modality" in panel.coords else None
    for style, (names, path) in zip(_path_styles(paths), paths.items(), strict=True):
        if own is None or own in names.split(", "):
            axis.plot(n, path, **style)
            axis.plot(n, path, color=style["color"], **STAR)
    fine = np.geomspace(*axis.get_xlim(), 100)
    axis.plot(fine, 1 / fine, **_one())


def _path_styles(paths: dict[str, NDArray]) -> list[dict[str, Any]]:
    return [_outlined(color, 1.4) for color, _ in zip(itertools.cycle(PATHS), paths, strict=False)]


def _one() -> dict[str, Any]:
    return {"ls": "--"} | _outlined("white", 1.1)


def _outlined(color: str, width: float) -> dict[str, Any]:
    """A line that shows on any colour of the map."""
    from matplotlib.patheffects import withStroke

    stroke = withStroke(linewidth=width + 1.0, foreground="black")
    return {"color": color, "lw": width, "path_effects": [stroke]}


def _bar(figure: Figure, mesh: Any, axes: Any, variable: str) -> None:
    bar = figure.colorbar(mesh, ax=axes)
    bar.set_label(axis_label(variable), fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def _title(pick: dict[str, Any]) -> str:
    return ", ".join(
        condition_label(str(value)) if dim == "condition" else str(value)
        for dim, value in pick.items()
    )


def _handles(sweep: xr.Dataset, paths: dict[str, NDArray], variable: str) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label="n b = 1", **_one())]
    for style, names in zip(_path_styles(paths), paths, strict=True):
        line = STAR | {"ls": "-", "lw": style["lw"], "color": style["color"]}
        handles.append(Line2D([], [], label=f"physics: {names}", **line))
    if variable not in NO_BEST and sweep.sizes["seed"] > 1:
        handles.append(Line2D([], [], label="within one standard error of the best", **BEST))
    if (diverged(sweep) > 0).any():
        handles.append(Line2D([], [], ls="none", marker="x", ms=5, color="black", label="diverged"))
    return handles


def _said(variable: str, seeds: int) -> str:
    said = f"{axis_label(variable).capitalize()}, mean over the seeds."
    if variable in NO_BEST:
        return said
    if seeds < 2:
        return f"{said} One seed has no standard error: no cell is marked as the best."
    which = "lowest" if variable in LOWEST else "highest"
    return f"{said} Best is the {which}; cells that a seed has not finished are not compared."
