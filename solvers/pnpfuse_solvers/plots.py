"""The figure that fits a result: a Dataset in, a matplotlib Figure out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from pnpfuse_solvers.plot_history import transient_figure
from pnpfuse_solvers.plot_impedance import impedance_figure
from pnpfuse_solvers.plot_state import state_figure
from pnpfuse_solvers.plot_style import STYLE
from pnpfuse_solvers.plot_sweep import sweep_figure, varied

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(result: xr.Dataset, *names: str) -> Figure:
    """Return the figure that fits a result; see `Results.plot`."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        if "impedance_real" in result:
            return impedance_figure(result)
        if "potential" in result and "x" in result["potential"].dims:
            if "time" in result["potential"].dims:
                return transient_figure(result)
            return state_figure(result)
        if varied(result):
            return sweep_figure(result, *names)
        if "node" in result.dims and "potential" in result:  # one cell out of many
            at = result["x"].values
            state = result.drop_vars("x").rename(node="x").assign_coords(x=("x", at))
            return state_figure(state)
    held = ", ".join(map(str, result.data_vars)) or "nothing"
    raise ValueError(
        "potential: this Dataset holds none over x, nor an impedance, nor swept cells; it holds "
        f"{held}"
    )
