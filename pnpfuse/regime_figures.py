"""The regime map as a figure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse.figures import CYCLE, GREY, blank_figure
from pnpfuse.mapping.answer import fraction_text, ratio_text
from pnpfuse.mapping.regime import REGIMES
from pnpfuse.regimes import at_field, at_voltage, longer_cells
from pnpfuse_solvers import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Charge ratios drawn if the map has them, voltages [kB T/e] and fields [kB T/e per Debye length].
DRAWN = (1.0, 3 / 8, 1 / 8, 1 / 32)
FIXED_VOLTAGES, FIXED_FIELDS = (1.581, 5.0, 15.81), (0.1, 0.3162, 1.0)
FIG8_VOLTAGES = (5.0, 20.0)
# A region smaller than this share of a panel gets no name.
_NAMED = 0.1
# The lines below with what is said of them take this many inches.
_LEAST_WIDTH = 9.0


def regime_figure(found: xr.Dataset, command: str = "pnpfuse regimes --plot regimes.png") -> Figure:
    """Separation and b over length and voltage with the regimes outlined, and along lines.

    Parameters
    ----------
    found : xarray.Dataset
        From `regime_map`, of at least two lengths and two voltages.
    command : str
        What made the map, for the caption.

    Notes
    -----
    A column a charge ratio, at most four. The panel below follows the separation over the length
    at fixed voltages (solid) and in fixed fields (dashed), which the papers' two statements on long
    cells are about.
    """
    for name in ("length_ratio", "voltage"):
        if found.sizes.get(name, 0) < 2:
            raise ValueError(f"found: got a map of less than two values of {name}; give more")
    found = found.sortby(["length_ratio", "voltage"])
    ratios = _drawn(found["charge_ratio"].values)
    columns = len(ratios)
    width = max(_LEAST_WIDTH, 1.6 + 2.6 * columns)
    figure = blank_figure(width, 8.6)
    parts: Any = figure.subfigures(2, 1, height_ratios=(5.2, 3.4))
    maps, below = parts
    axes = maps.subplots(2, columns, squeeze=False, sharex=True, sharey=True)
    for k, ratio in enumerate(ratios):
        part = found.sel(charge_ratio=ratio)
        share = _map(axes[0, k], part, part["separation"], 0.5)
        place = _map(axes[1, k], part, part["b"] / part["limit"], 0.0)
        axes[0, k].set_title(
            f"$l^*/l_m$ = {fraction_text(ratio)}\nlimit of b: {ratio_text(float(part['limit']))}",
            fontsize=9,
        )
        axes[1, k].set_xlabel("l / λ_D")
    for axis in axes[:, 0]:
        axis.set_ylabel("voltage / (kB T/e)")
    maps.colorbar(share, ax=axes[0, :], label="separation (worse species)", extend="min", pad=0.01)
    maps.colorbar(place, ax=axes[1, :], label="b over its limit", pad=0.01)
    _lines(below.subplots(), found.sel(charge_ratio=ratios[0]), ratios[0])
    below.supxlabel(
        f"{found['b'].size} closed cells of two species ({found.attrs['outcome']}); grey: no "
        "interface; ★ the cell of PMR Fig. 8. Outlined: the regimes.\n"
        + textwrap.fill(command, int(13 * width)),
        fontsize=8,
        parse_math=False,
    )
    return figure


def _drawn(ratios: np.ndarray) -> list[float]:
    held = [r for wanted in DRAWN for r in ratios if abs(r - wanted) < 1e-9]
    return held or np.sort(ratios)[::-1][: len(DRAWN)].tolist()


def _map(axis: Axes, part: xr.Dataset, values: xr.DataArray, low: float):  # type: ignore[no-untyped-def]
    """Values over length and voltage with the regimes' borders and names, Fig. 8's cell marked."""
    x, y = part["length_ratio"].values, part["voltage"].values
    shown = values.transpose("voltage", "length_ratio").values
    drawn = axis.pcolormesh(
        x, y, np.ma.masked_invalid(shown), vmin=low, vmax=1.0, shading="nearest", rasterized=True
    )
    axis.set(xscale="log", yscale="log", facecolor="0.85")
    codes = part["regime"].transpose("voltage", "length_ratio").values
    log_x, log_y = np.meshgrid(np.log(x), np.log(y))
    for code, name in enumerate(REGIMES):
        region = codes == code
        if not region.any() or region.all():
            continue
        axis.contour(x, y, region, levels=[0.5], colors="white", linewidths=1.2)
        if region.mean() > _NAMED:
            # The cell of the region nearest to its middle: a region may be bent around it.
            away = (log_x - log_x[region].mean()) ** 2 + (log_y - log_y[region].mean()) ** 2
            row, column = np.unravel_index(np.where(region, away, np.inf).argmin(), away.shape)
            axis.text(
                x[column], y[row], name.replace(" ", "\n"), ha="center", va="center", fontsize=7,
                bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 1.2},
            )  # fmt: skip
    if abs(float(part["charge_ratio"]) - 1.0) < 1e-9:
        length = Cell.fig8(1.0).length_ratio
        for voltage in FIG8_VOLTAGES:
            axis.plot(length, voltage, "*", color="white", mec="black", mew=0.7, ms=10)
    axis.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    return drawn


def _lines(axis: Axes, part: xr.Dataset, ratio: float) -> None:
    """Separation over the length at fixed voltages and in fixed fields."""
    voltages = {v: at_voltage(part, v) for v in FIXED_VOLTAGES}
    fields = {f: at_field(part, f) for f in FIXED_FIELDS}
    # Labelled by what the map holds next to the wanted values, and each drawn once.
    held = {float(line["voltage"]): line for line in voltages.values()}
    for color, (voltage, line) in zip(CYCLE, held.items(), strict=False):
        label = f"fixed ∓{voltage:.2g} kB T/e"
        axis.plot(line["length_ratio"], line["separation"], "-", color=color, label=label)
    for color, line in zip(CYCLE, fields.values(), strict=False):
        if line.sizes["length_ratio"] > 1:
            field = float((line["voltage"] / line["length_ratio"]).median())
            label = f"fixed field: ∓{field:.2g} kB T/e per λ_D of length"
            axis.plot(line["length_ratio"], line["separation"], "--", color=color, label=label)
    axis.axhline(0.5, color="0.85", lw=0.8, zorder=0)
    axis.axvline(1.0, color="0.85", lw=0.8, zorder=0)
    axis.set(
        xscale="log", xlabel="l / λ_D", ylim=(0.48, 1.02),
        ylabel=f"separation at $l^*/l_m$ = {fraction_text(ratio)}",
    )  # fmt: skip
    axis.spines[["top", "right"]].set_visible(False)
    (less, steps), (more, along) = longer_cells(part)
    said = (
        f"With a longer cell separation does not rise at a fixed voltage ({less} of {steps} steps "
        "of the map; PMR App. E.2)"
    )
    if along:
        said += f"\nand does not fall in a fixed field ({more} of {along}; what Sec. 3.2 describes)"
    axis.set_title(said, fontsize=9, color=GREY)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
