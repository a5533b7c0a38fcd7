"""Figures of swept cells: lines over one varied parameter, maps over two."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.plot_style import (
    CYCLE,
    DASHES,
    GREY,
    MAP,
    blank_figure,
    marker,
    prefix,
    spans_decades,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Panels whose values lie between 0 and 1.
SHARES = (r"$b/\ell$", "separation")
_SWEPT = ("interface", "separation", "surface_charge")


def varied(result: xr.Dataset) -> list[Hashable]:
    """Names of the parameters that a result was swept over, in the order of its variables."""
    inner = {"x", "node", "species", "electrode", "time"}
    names = [d for v in result.data_vars.values() for d in v.dims if d not in inner]
    return list(dict.fromkeys(names))


def sweep_figure(result: xr.Dataset, *names: str) -> Figure:
    """Scalars of many cells: lines over one varied parameter, maps over two. Failed cells are gaps.

    Parameters
    ----------
    result : xarray.Dataset
        From `solve_many`.
    *names : str
        Variables to draw.
    """
    dims = varied(result)
    if len(dims) > 2:
        raise ValueError(f"dims: got {dims}; choose until two are left, as in isel({dims[-1]}=0)")
    for name in names:
        if name not in result or not set(dims) <= set(result[name].dims):
            held = [n for n in result.data_vars if set(dims) <= set(result[n].dims)]
            raise ValueError(f"names: got {name!r}; give some of {held}")
    panels = [
        panel for name in (names or [n for n in _SWEPT if n in result])
        for panel in _panels(result, name, dims, split=len(dims) == 2)
    ]  # fmt: skip
    if not panels:
        raise ValueError(f"names: of {', '.join(_SWEPT)} it holds none; name what to draw")
    if len(dims) == 1:
        return _sweep_lines(result, dims[0], panels)
    return _sweep_maps(result, dims, panels)


Panel = tuple[str, list[tuple[str, Array]]]


def _panels(result: xr.Dataset, name: str, dims: list, split: bool) -> list[Panel]:
    """(label, [(line, values)]): one panel a variable, or one a variable and ion for maps."""
    variable = result[name]
    extra = [d for d in variable.dims if d not in dims]
    if variable.dtype.kind not in "fiub" or len(extra) > 1:
        raise ValueError(f"names: {name!r} over {variable.dims} cannot be drawn; take a part of it")
    if name == "interface" and (length := _length(result)) is not None:
        label, variable = SHARES[0], variable / length
        factor = 1.0
    else:
        finite = np.abs(variable.values[np.isfinite(variable.values)]).astype(float)
        units = variable.attrs.get("units", "1")
        factor, unit = prefix(float(finite.max(initial=0.0)), units)
        label = name.replace("_", " ") + ("" if units == "1" else f" ({unit})")
    variable = variable.transpose(*dims, *extra)
    if not extra:
        return [(label, [("", variable.values * factor)])]
    lines = [
        (str(at), variable.sel({extra[0]: at}).values * factor)
        for at in variable[extra[0]].values
        # An uncharged species has no side: nothing to draw.
        if np.isfinite(variable.sel({extra[0]: at}).values).any()
    ]
    if split:
        return [(f"{label}, {line}", [("", values)]) for line, values in lines]
    return [(label, lines)]


def _length(result: xr.Dataset) -> Any:
    """Length of the cells [m]: varied, or that of the cell they were made from."""
    if "length" in result:
        return result["length"]
    return json.loads(result.attrs.get("parameters", "{}")).get("length")


def _sweep_lines(result: xr.Dataset, dim: Any, panels: list[Panel]) -> Figure:
    made, axes = blank_figure(len(panels), 1, (4.6, 1.0 + 1.6 * len(panels)), sharex=True)
    at, label, log = _axis(result, dim)
    for axis, (name, lines) in zip(axes[:, 0], panels, strict=True):
        for k, (line, values) in enumerate(lines):
            axis.plot(
                at, values, marker(at) + DASHES[k % len(DASHES)], ms=3,
                color=CYCLE[k % len(CYCLE)] if len(lines) > 1 else GREY, label=line,
            )  # fmt: skip
        axis.set_ylabel(name)
        if name in SHARES:
            axis.set_ylim(-0.04, 1.04)
        if len(lines) > 1:
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[-1, 0].set_xlabel(label)
    if log:
        axes[-1, 0].set_xscale("log")
    made.align_ylabels(axes[:, 0])
    return made


def _sweep_maps(result: xr.Dataset, dims: list, panels: list[Panel]) -> Figure:
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    made, axes = blank_figure(
        rows, columns, (0.6 + 2.9 * columns, 0.5 + 2.2 * rows), sharex=True, sharey=True
    )
    (down, down_label, down_log), (along, along_label, along_log) = (_axis(result, d) for d in dims)
    for axis, (name, [(_, values)]) in zip(axes.flat, panels, strict=False):
        share = name.split(",")[0] in SHARES
        finite = values[np.isfinite(values)]
        signed = finite.size > 0 and finite.min() < 0.0 < finite.max()
        low, high = (0.0, 1.0) if share else (None, None)
        if name.startswith("separation") and finite.min(initial=0.5) > 0.49:
            low = 0.5  # an even mixture
        if signed and not share:
            high = float(np.abs(finite).max())
            low = -high
        drawn = axis.pcolormesh(
            along, down, np.ma.masked_invalid(values), shading="nearest", rasterized=True,
            cmap="PuOr" if signed else MAP, vmin=low, vmax=high,
        )  # fmt: skip
        axis.set_facecolor("0.8")
        axis.set_xscale("log" if along_log else "linear")
        axis.set_yscale("log" if down_log else "linear")
        made.colorbar(drawn, ax=axis, label=name)
    for axis in axes[-1]:
        axis.set_xlabel(along_label)
    for axis in axes[:, 0]:
        axis.set_ylabel(down_label)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return made


def _axis(result: xr.Dataset, dim: Any) -> tuple[Array, str, bool]:
    """Values, label and whether to take a logarithmic axis, of a varied parameter."""
    at = result[dim].values.astype(float)
    units = result[dim].attrs.get("units", "1")
    factor, unit = prefix(float(np.abs(at).max()), units)
    label = str(dim).replace("_", " ") + ("" if units == "1" else f" ({unit})")
    return at * factor, label, bool((at > 0).all()) and spans_decades(at, 1.5)
