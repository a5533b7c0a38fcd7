"""Figure of a run in time: charge, free energy, dissipation, and profiles at some times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.plot_state import concentration_range, species_lines, whole_cell
from pnpfuse_solvers.plot_style import (
    BLUE,
    DASHES,
    GREY,
    MAP,
    RED,
    blank_figure,
    marker,
    prefix,
    spans_decades,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def transient_figure(result: xr.Dataset, times: int = 6) -> Figure:
    """Charge, free energy and dissipation over time; profiles at some times, coloured by time."""
    import matplotlib as mpl

    ok = result.dropna("time", subset=["potential"])
    if ok.sizes["time"] == 0:
        raise ValueError("time: no time of this result was reached, there is nothing to draw")
    count = min(3, ok.sizes["species"])
    rows = max(3, 1 + count)
    made, axes = blank_figure(rows, 2, (7.0, 1.75 * rows), sharex="col")
    _draw_history(axes[:, 0], ok)
    t = ok["time"].values
    factor, unit = prefix(t[-1], "s")
    log = spans_decades(t[t > 0.0])
    chosen = _chosen(t, times, log)
    lowest = t[t > 0.0].min(initial=np.inf)
    scale = (
        mpl.colors.LogNorm(max(lowest, t[chosen].min()) * factor, t[-1] * factor)
        if log else mpl.colors.Normalize(t[0] * factor, max(t[-1], 1e-300) * factor)
    )  # fmt: skip
    colors = mpl.colormaps[MAP]
    x = ok["x"].values
    seen, place, label = whole_cell(x)
    volt, volts = prefix(float(np.abs(ok["potential"]).max()), "V")
    low, high, log_c = concentration_range(ok)
    for i in chosen:
        color = colors(0.92 * float(scale(max(t[i] * factor, scale.vmin))))
        now = ok.isel(time=i)
        axes[0, 1].plot(place(x), now["potential"].values * volt, color=color)
        for axis, row in zip(axes[1:, 1], now["concentration"].values, strict=False):
            axis.plot(place(x), row, color=color)
    axes[0, 1].set_ylabel(rf"$\phi$ ({volts})")
    for axis, (_, _, name, _) in zip(axes[1:, 1], species_lines(ok.isel(time=0)), strict=False):
        axis.set_ylabel(f"$c$ (m$^{{-3}}$)\n{name}")
        axis.set_yscale("log" if log_c else "linear")
        axis.set_ylim(low, high)
    for axis in axes[:, 1]:
        axis.margins(x=0.0)
    axes[-1, 1].set_xlabel(label)
    for axis in axes[1 + count :, 1]:
        axis.set_visible(False)
    made.colorbar(
        mpl.cm.ScalarMappable(scale, mpl.colors.ListedColormap(colors(np.linspace(0, 0.92, 256)))),
        ax=list(axes[: 1 + count, 1]), label=f"$t$ ({unit})", shrink=0.8, aspect=30,
    )  # fmt: skip
    made.align_ylabels(axes[:, 0])
    made.align_ylabels(axes[: 1 + count, 1])
    return made


def _draw_history(axes: Array, result: xr.Dataset) -> None:
    t = result["time"].values
    factor, unit = prefix(t[-1], "s")
    log = spans_decades(t[t > 0.0])
    charge, energy, heat = axes[:3]
    scale, units = prefix(float(np.abs(result["electrode_charge"]).max()), "C m-2")
    for color, dash, name in zip((RED, BLUE), DASHES, result["electrode"].values, strict=False):
        line = result["electrode_charge"].sel(electrode=name).values * scale
        charge.plot(t * factor, line, marker(t) + dash, ms=2.5, color=color, label=str(name))
    charge.legend(title="electrode", title_fontsize=8, loc="center right")
    charge.set_ylabel(f"$q$ ({units})")
    for axis, name, symbol, units in (
        (energy, "free_energy", "F", "J m-2"), (heat, "dissipation", "-\\dot{F}", "W m-2"),
    ):  # fmt: skip
        values = result[name].values
        scale, units = prefix(float(np.nanmax(np.abs(values))), units)
        axis.plot(t * factor, values * scale, marker(t) + "-", ms=2.5, color=GREY)
        axis.set_ylabel(f"${symbol}$ ({units})")
    positive = result["dissipation"].values
    if spans_decades(positive[positive > 0.0]):
        top = float(positive.max()) * scale
        heat.set_yscale("log")
        heat.set_ylim(max(float(positive[positive > 0].min()) * scale / 2, top * 1e-12), top * 2)
    if log:
        charge.set_xscale("log")
    for axis in axes[3:]:
        axis.set_visible(False)
    heat.set_xlabel(f"$t$ ({unit})")
    heat.tick_params(labelbottom=True)


def _chosen(t: Array, count: int, log: bool) -> list[int]:
    """Indices of times spread evenly, over ln t where times do."""
    if t.size <= count:
        return list(range(t.size))
    start = max(t[0], t[t > 0.0].min()) if log else t[0]
    wanted = (np.geomspace if log else np.linspace)(start, t[-1], count)
    return sorted({int(np.abs(np.log(np.maximum(t, start * 1e-9) / w)).argmin()) if log
                   else int(np.abs(t - w).argmin()) for w in wanted})  # fmt: skip
