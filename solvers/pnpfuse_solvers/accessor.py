"""The ``.pnp`` accessor: what one asks of a result, also of one that comes out of a file."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse_solvers.cell import Cell, Constants, Ion
from pnpfuse_solvers.plot_style import quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERFACE = (
    "interface", "interface_uncertainty", "interface_width", "interface_reason", "separation",
)  # fmt: skip
CERTIFICATES = (
    "residual", "error_estimate", "mass_error", "flux_spread", "energy_rise", "layer_resolution",
    "minimum_concentration", "iterations", "steps",
)  # fmt: skip
# What `summary` tells of a single state, beside interface and certificates.
TOLD = ("debye_length", "surface_charge", "free_energy", "flux", "current_density")


def _explained(method: Callable) -> Callable:
    """Turn what a Dataset of another making brings into one ValueError."""

    @functools.wraps(method)
    def checked(self: Results, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (
            ArithmeticError, AttributeError, json.JSONDecodeError, LookupError, TypeError
        ) as error:  # fmt: skip
            raise ValueError(
                f"{method.__name__}: cannot be made from this Dataset and these arguments "
                f"({error!r:.120}); give a whole result of pnpfuse_solvers"
            ) from error

    return checked


@xr.register_dataset_accessor("pnp")
class Results:
    """Questions to a result of `pnpfuse_solvers`: ``result.pnp.plot()`` and others.

    Works on every Dataset that the solvers return, also on one read back from NetCDF or Zarr,
    since it rests on the Dataset's own variables and attributes alone.

    Examples
    --------
    >>> from pnpfuse_solvers import Cell, solve_equilibrium
    >>> result = solve_equilibrium(Cell.fig8(voltage=5), order=4)
    >>> result.pnp.cell() == Cell.fig8(voltage=5)
    True
    >>> bool(result.pnp.gauss().gap < 1e-6)
    True
    """

    def __init__(self, result: xr.Dataset):
        self._result = result

    @_explained
    def plot(self, *names: str) -> Figure:
        """Return a figure of the result: states, runs in time, spectra, or swept cells.

        Parameters
        ----------
        *names : str
            Of swept cells: the variables to draw; by default interface, separation and charge.

        Raises
        ------
        ValueError
            Naming what is missing, where the Dataset is no result that can be drawn.
        """
        from pnpfuse_solvers.plots import figure  # here: a solve alone does not need it

        return figure(self._result, *names)

    @_explained
    def interface(self) -> xr.Dataset:
        """Return position, uncertainty, width, reason (why there is none) and separation."""
        self._need("interface")
        return self._result[[name for name in INTERFACE if name in self._result]]

    @_explained
    def certificates(self) -> xr.Dataset:
        """Return the certificates of the solve; ``attrs["outcome"]`` says what they come to.

        Of what is told over time, the worst.
        """
        self._need("residual")
        kept = self._result[[name for name in CERTIFICATES if name in self._result]]
        if "time" in kept.dims:
            kept = kept.max("time", keep_attrs=True)
        kept.attrs = {
            name: kept.attrs[name] for name in ("outcome", "message") if name in kept.attrs
        }
        return kept

    @_explained
    def gauss(self, at: float | None = None, cell: Cell | None = None) -> xr.Dataset:
        """Return both sides of PMR Eq. (3) on [0, b]; see `pnpfuse_solvers.gauss.gauss_law`.

        Parameters
        ----------
        at : float or None
            Position b [m]; by default the interface.
        cell : Cell or None
            The cell that was solved, needed only where it holds functions of x.
        """
        from pnpfuse_solvers.gauss import gauss_law  # here: SciPy's interpolation is slow to load

        return gauss_law(self._result, self.cell() if cell is None else cell, at)

    @_explained
    def cell(self) -> Cell:
        """Return the cell that was solved, rebuilt from ``attrs["parameters"]``.

        Raises
        ------
        ValueError
            If the parameters are missing, or hold a Python function, which no file can keep.
        """
        given = self._result.attrs.get("parameters")
        if given is None:
            raise ValueError("parameters: the attrs hold none; give a result of pnpfuse_solvers")
        fields: dict[str, Any] = json.loads(given)
        for name, value in fields.items():
            if isinstance(value, str) and value.startswith("function "):
                raise ValueError(
                    f"{name}: the cell held the Python {value}, which a result does not keep; "
                    "use the Cell itself"
                )
        known = {field.name for field in dataclasses.fields(Cell)}
        fields = {name: value for name, value in fields.items() if name in known}
        fields["ions"] = tuple(Ion(**ion) for ion in fields["ions"])
        fields["constants"] = Constants(**fields["constants"])
        return Cell(**fields)

    @_explained
    def summary(self) -> str:
        """Return the result in a few lines of text: outcome, interface, numbers, certificates."""
        result = self._result
        attrs = result.attrs
        lines = [f"{attrs.get('title', 'result')}: {attrs.get('outcome', 'outcome not recorded')}"]
        lines += [attrs[name] for name in ("notes",) if attrs.get(name)]
        if "species" in result.coords and "valence" in result:
            ions = zip(result["species"].values, result["valence"].values, strict=True)
            lines.append("ions: " + ", ".join(f"{name} ({z:+g})" for name, z in ions))
        if "interface" in result and result["interface"].ndim == 0:
            lines.append(f"interface: {_interface_text(result)}")
        for name in (*TOLD, *CERTIFICATES):
            if name in result and "time" not in result[name].dims:
                lines.append(_line(result[name]))
        sizes = ", ".join(f"{name} {size}" for name, size in sorted(result.sizes.items()))
        return "\n".join([*lines, f"over: {sizes}"])

    def _need(self, name: str) -> None:
        if name not in self._result:
            held = ", ".join(map(str, self._result.data_vars)) or "nothing"
            raise ValueError(f"{name}: this Dataset does not hold it, it holds {held}")


def _interface_text(result: xr.Dataset) -> str:
    b = float(result["interface"])
    if np.isnan(b):
        return str(result["interface_reason"].item())
    text = quantity(b, "m")
    if "interface_uncertainty" in result:
        text += f" +- {quantity(float(result['interface_uncertainty']), 'm')}"
    if "interface_width" in result:
        text += f", width {quantity(float(result['interface_width']), 'm')}"
    return text


def _line(variable: xr.DataArray) -> str:
    units = variable.attrs.get("units", "1")
    values = [float(value) for value in variable.values.flat]
    if variable.ndim == 0:
        return f"{variable.name}: {quantity(values[0], units)}"
    if variable.dims in (("species",), ("electrode",)):
        named = zip(variable[variable.dims[0]].values, values, strict=True)
        said = ", ".join(f"{name} {quantity(value, units)}" for name, value in named)
        return f"{variable.name}: {said}"
    low, high = np.nanmin(values), np.nanmax(values)
    over = ", ".join(map(str, variable.dims))
    return f"{variable.name}: {quantity(low, units)} to {quantity(high, units)} over {over}"
