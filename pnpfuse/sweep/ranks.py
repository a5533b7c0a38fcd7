"""The rank condition of the shared parts, bound and measured: a sweep in, a Figure out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.figures import GREY
from pnpfuse.fusion.widths import split_widths
from pnpfuse.sweep.captions import captioned
from pnpfuse.sweep.cells import values_of
from pnpfuse.sweep.drawing import (
    SMALL,
    legend,
    n_handles,
    names_of,
    panels,
    plain_axis,
    scale_log,
    styles,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOUND: dict[str, Any] = {"color": "black", "lw": 1.0}
NEEDED = ("rank", "effective_rank", "rank_limit", "width")


def rank_figure(sweep: xr.Dataset, *, command: str | None = None) -> Figure:
    """Rank of the shared parts against floor(b n l_k), a panel a modality, a colour an n.

    The line is the bound rank(shared) <= min(floor(b n l_k), l*). Filled points are numerical
    ranks and lie on it where the condition is met with equality; hollow ones are effective
    ranks. Both are means over the seeds, bars from the smallest to the largest.

    Parameters
    ----------
    sweep : xarray.Dataset
        From `run_sweep`, of a model with shared parts.
    command : str or None
        What made the figure, for its caption; None for the call that the attributes tell of.

    Raises
    ------
    ValueError
        for a Dataset that is no sweep, has no finished point, or is of a model without shared
        parts
    """
    absent = [name for name in NEEDED if isinstance(sweep, xr.Dataset) and name not in sweep]
    if absent:
        raise ValueError(
            f"sweep has no {', '.join(absent)}: take a sweep of a model with shared parts, as rpmr"
        )
    rank, effective = values_of(sweep, "rank"), values_of(sweep, "effective_rank")
    names, width = names_of(sweep), sweep["width"].values.tolist()
    cut = _cut(rank, dict(zip(names, width, strict=True)))  # (n, b, modality)
    figure, axes = panels(len(names), 2.5, 2.4)
    for k, axis in enumerate(axes):
        of_k = {"modality": k}
        _draw_bound(axis, cut[..., k], min(width))
        _draw(axis, rank.isel(of_k), cut[..., k], hollow=False)
        _draw(axis, effective.isel(of_k), cut[..., k], hollow=True)
        axis.set(xscale="log", yscale="log")
        scale_log(axis.xaxis)
        scale_log(axis.yaxis)
        axis.set_title(f"{names[k]} (l = {width[k]})", fontsize=9)
    figure.supylabel("rank of the shared part", fontsize=8)
    legend(figure, n_handles(rank["n"].values) + _handles())
    return captioned(figure, sweep, _said(rank, sweep), command)


def _cut(rank: xr.DataArray, width: dict[str, int]) -> NDArray[np.int64]:
    """floor(b n l_k), as the model cuts, (n, b, modality)."""
    return np.array(
        [
            [list(split_widths(width, float(n), float(b)).boundary.values()) for b in rank["b"]]
            for n in rank["n"]
        ]
    )


def _draw_bound(axis: Axes, cut: NDArray, common: int) -> None:
    plain_axis(axis)
    low, high = min(cut.min(), common), max(cut.max(), common)
    corners = np.array([low, common, high])
    axis.plot(corners, np.minimum(corners, common), zorder=1, **BOUND)
    axis.axvline(common, color="0.8", lw=0.8, zorder=0)
    axis.annotate(
        "l*", (common, 0), xycoords=("data", "axes fraction"), fontsize=SMALL, color=GREY,
        xytext=(2, 2), textcoords="offset points",
    )  # fmt: skip
    axis.set_xlabel("floor(b n l)", fontsize=8)


def _draw(axis: Axes, rank: xr.DataArray, cut: NDArray, hollow: bool) -> None:
    """One kind of rank of one modality, (n, b, seed)."""
    mean = rank.mean("seed").values
    ends = np.abs(np.stack([rank.min("seed").values, rank.max("seed").values]) - mean)
    for i, style in enumerate(styles(rank["n"].values)):
        there = np.isfinite(mean[i])
        axis.errorbar(
            cut[i][there], mean[i][there], ends[:, i][:, there], ls="none", ms=4, elinewidth=0.7,
            mfc="white" if hollow else style["color"], zorder=2 if hollow else 3, **style,
        )  # fmt: skip


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 4, "color": GREY}
    return [
        Line2D([], [], label="bound min(floor(b n l), l*)", **BOUND),
        Line2D([], [], label="numerical rank", **dot),
        Line2D([], [], label="effective rank", mfc="white", **dot),
    ]


def _said(rank: xr.DataArray, sweep: xr.Dataset) -> str:
    """How often the bound is kept, and met; counted, not claimed."""
    measured = np.isfinite(rank)
    limit = sweep["rank_limit"].sortby(["n", "b"]).transpose("n", "b", ...)
    count = int(measured.sum())
    above, met = int((measured & (rank > limit)).sum()), int((rank == limit).sum())
    return (
        f"rank(shared) <= min(floor(b n l), l*): exceeded by {above} of {count} shared parts, met "
        f"with equality by {met}. Bars: smallest to largest of the seeds."
    )
