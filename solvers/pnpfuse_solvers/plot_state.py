"""Figure of one state over x: an equilibrium, a steady state, one time of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.plot_style import (
    CYCLE,
    DASHES,
    GREEN,
    GREY,
    blank_figure,
    power,
    prefix,
    quantity,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Concentrations that spread over more than this are drawn on a logarithmic axis.
LOG_SPREAD, DECADES = 20.0, 12.0
# Layers are thin where this share of the cell at either end holds most of the potential's drop.
THIN = 0.01
# Indices of the nodes that are seen, position [m] -> abscissa, label of the abscissa.
View = tuple[NDArray[np.intp], Callable[[Any], Any], str]


def state_figure(result: xr.Dataset) -> Figure:
    """Potential, concentrations and charge density over x with the interface; fluxes as text.

    Where layers are thin the two halves of the cell are drawn over the distance from their
    electrode on logarithmic axes, so that layers and bulk both show.
    """
    x = result["x"].values
    if not np.isfinite(result["potential"]).any():
        outcome = result.attrs.get("outcome", "not recorded")
        raise ValueError(f"potential: it holds no number (outcome: {outcome}), nothing to draw")
    thin = _thin_layers(x, result["potential"].values)
    rows = 3 if "charge_density" in result else 2
    made, axes = blank_figure(
        rows, 2 if thin else 1, (5.6 if thin else 4.4, 1.8 * rows), sharex="col", sharey="row"
    )
    views = _views(x) if thin else [whole_cell(x)]
    for column, (seen, place, label) in enumerate(views):
        part = result.isel(x=seen)
        _draw_potential(axes[0, column], result, part, place)
        _draw_concentrations(axes[1, column], result, part, place)
        if rows == 3:
            _draw_charge(axes[2, column], result, part, place)
        _mark_interface(tuple(axes[:, column]), result, seen, place)
        axes[-1, column].set_xlabel(label)
        for axis in axes[:, column]:
            axis.margins(x=0.0)
            if thin:
                axis.set_xscale("log")
    if thin:
        for axis in axes[:, 1]:
            axis.invert_xaxis()
            axis.set_ylabel("")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    axes[1, -1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5))
    made.suptitle(_state_title(result), fontsize=8.5)
    if "flux" in result:
        made.supxlabel(_flux_text(result), fontsize=8)
    made.align_ylabels(axes[:, 0])
    return made


def _thin_layers(x: Array, phi: Array) -> bool:
    """True where the middle 98 % of the cell see less than half of the potential's variation."""
    inner = (x > THIN * x[-1]) & (x < (1.0 - THIN) * x[-1])
    whole = np.abs(np.diff(phi)).sum()
    return bool(inner.any() and whole > 0 and np.abs(np.diff(phi[inner])).sum() < 0.5 * whole)


def _views(x: Array) -> list[View]:
    """Both halves of the cell, without the electrodes' own nodes."""
    length = x[-1]
    factor, unit = prefix(length / 2, "m")
    left = np.flatnonzero((x > 0.0) & (x <= 0.5 * length))
    right = np.flatnonzero((x < length) & (x >= 0.5 * length))
    return [
        (left, lambda at: at * factor, f"distance from left ({unit})"),
        (right, lambda at: (length - at) * factor, f"distance from right ({unit})"),
    ]


def _draw_potential(axis: Axes, result: xr.Dataset, part: xr.Dataset, place: Callable) -> None:
    factor, unit = prefix(float(np.abs(result["potential"]).max()), "V")
    axis.axhline(0.0, color="0.85", lw=0.6, zorder=0)
    axis.plot(place(part["x"].values), part["potential"].values * factor, color=GREY)
    axis.set_ylabel(rf"$\phi$ ({unit})")


def _draw_concentrations(axis: Axes, result: xr.Dataset, part: xr.Dataset, place: Callable) -> None:
    low, high, log = concentration_range(result)
    for color, dash, label, row in species_lines(part):
        axis.plot(place(part["x"].values), row, color=color, ls=dash, label=label)
    if log:
        axis.set_yscale("log")
    axis.set_ylim(low, high)
    axis.set_ylabel(r"$c$ (m$^{-3}$)")


def _draw_charge(axis: Axes, result: xr.Dataset, part: xr.Dataset, place: Callable) -> None:
    rho = result["charge_density"]
    largest = float(np.abs(rho).max())
    factor, unit = prefix(largest, "C m-3")
    axis.axhline(0.0, color="0.85", lw=0.6, zorder=0)
    axis.plot(place(part["x"].values), part["charge_density"].values * factor, color=GREY)
    axis.set_ylabel(rf"$\rho$ ({unit})")
    inner = np.abs(rho.values[2:-2])
    if largest > 0.0 and np.median(inner) < 1e-3 * largest:
        threshold = max(float(np.median(inner)) * factor, 1e-4 * largest * factor)
        axis.set_yscale("symlog", linthresh=10.0 ** np.floor(np.log10(threshold)))


def _mark_interface(
    axes: tuple[Axes, ...], result: xr.Dataset, seen: NDArray[np.intp], place: Callable
) -> None:
    if "interface" not in result or result["interface"].ndim:
        return
    b, x = float(result["interface"]), result["x"].values
    if np.isnan(b) or not x[seen[0]] <= b <= x[seen[-1]]:
        return
    band = _width_band(result, b)
    for axis in axes:
        axis.axvline(float(place(b)), color=GREEN, lw=0.9)
        if band is not None:
            ends = np.clip(band, x[seen[0]], x[seen[-1]])
            axis.axvspan(*sorted(map(float, place(ends))), color=GREEN, alpha=0.12, lw=0)


def _width_band(result: xr.Dataset, b: float) -> Array | None:
    """Where the share of the one kind of ions goes from 10 % to 90 %, around b (2,) [m]."""
    if "valence" not in result:
        return None
    x, z = result["x"].values, result["valence"].values
    c = np.maximum(result["concentration"].transpose("species", "x").values, 1e-300)
    balance = np.log(c[z > 0].sum(axis=0) / c[z < 0].sum(axis=0))
    beyond = np.abs(balance) - np.log(9.0)
    ends = np.array([0.0, x[-1]])
    for i in np.flatnonzero(beyond[:-1] * beyond[1:] < 0.0):
        at = x[i] - beyond[i] * (x[i + 1] - x[i]) / (beyond[i + 1] - beyond[i])
        ends[0] = max(ends[0], at) if at < b else ends[0]
        ends[1] = min(ends[1], at) if at > b else ends[1]
    return ends if (beyond > 0.0).any() else None


def _state_title(result: xr.Dataset) -> str:
    said = []
    if "length_ratio" in result:
        said.append(rf"$\ell/\lambda_\mathrm{{D}}=$ {power(float(result['length_ratio']))}")
    if "interface" in result and result["interface"].ndim == 0:
        b = float(result["interface"])
        if np.isnan(b):
            kind = str(result["interface_reason"].item()).split(":")[0]
            said.append(f"interface: {kind}" if kind else "no interface")
        else:
            width = float(result["interface_width"]) if "interface_width" in result else np.nan
            said.append(
                f"$b$ = {quantity(b, 'm')}"
                + (f", width {quantity(width, 'm')}" if np.isfinite(width) else "")
            )
    outcome = result.attrs.get("outcome", "converged")
    if "outcome" in result:  # one cell out of many
        outcome = str(result["outcome"].item())
    if outcome != "converged":
        said.append(outcome.upper())
    return "    ".join(said)


def _flux_text(result: xr.Dataset) -> str:
    said = [
        rf"$J$({name}) = {power(float(j))} m$^{{-2}}$ s$^{{-1}}$"
        for name, j in zip(result["species"].values, result["flux"].values, strict=True)
    ]
    if "current_density" in result:
        j = float(result["current_density"])
        factor, unit = prefix(abs(j), "A m-2")
        said.append(rf"$j$ = {j * factor:.4g} {unit}")
    rows = [said[k : k + 2] for k in range(0, len(said), 2)]
    return "\n".join("    ".join(row) for row in rows)


def whole_cell(x: Array) -> View:
    """All nodes, on one axis from wall to wall."""
    factor, unit = prefix(x[-1], "m")
    return np.arange(x.size), lambda at: at * factor, f"$x$ ({unit})"


def species_lines(part: xr.Dataset) -> list[tuple[str, str, str, Array]]:
    """Colour, dashes, label and concentrations of each species."""
    c = part["concentration"].transpose("species", ..., "x").values
    z = part["valence"].values if "valence" in part else np.full(len(c), np.nan)
    return [
        (CYCLE[s % len(CYCLE)], DASHES[s % len(DASHES)], _ion(str(name), charge), row)
        for s, (name, charge, row) in enumerate(zip(part["species"].values, z, c, strict=True))
    ]


def _ion(name: str, charge: float) -> str:
    return name if np.isnan(charge) else f"{name} ($z={charge:+.3g}$)".replace("+0$", "0$")


def concentration_range(result: xr.Dataset) -> tuple[float, float, bool]:
    """Limits of the axis and whether it is logarithmic: 12 decades at most, the interface in."""
    c = result["concentration"].values
    top = float(np.nanmax(c))
    positive = c[c > 0.0]
    low = max(float(positive.min()) if positive.size else 0.0, top * 10.0**-DECADES)
    if not low * LOG_SPREAD < top:
        room = 0.06 * top
        return max(0.0, float(np.nanmin(c)) - room) if low > 0.8 * top else 0.0, top + room, False
    return low / 2, top * 2, True
