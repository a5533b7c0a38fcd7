"""The bridge: a modality's cell, its interface, and the hyperparameters (n, b) they stand for."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse.provenance import provenance
from pnpfuse_solvers import Cell, Ion, solve_equilibrium
from pnpfuse_solvers.arguments import finite_number

# Below this share of either species on its own side the two are mixed and the analogy is void.
SEPARATED = 0.9
# A bulk with less than this share of the mean ion density is depleted.
DEPLETED = 0.01
_UNIT = 1e20  # number density [1/m^3] of one feature; it sets the scale of the SI values only
_TEMPERATURE = 300.0


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """What a simulated cell says about a fusion block.

    Attributes
    ----------
    n : float
        Magnification factor: the cell's length in Debye lengths (PMR Table 2).
    b : float or {modality: float}
        Dissociation boundary as a ratio: the interface over the cell length; NaN without one.
    separation : float or {modality: float}
        Share of the species that is separated worst on its own side of the interface, 0 to 1.
    regime : str or {modality: str}
        "unscreened" (shorter than its Debye length: the field crosses the cell), "depleted" (the
        bulk is emptied into the layers), "screened" (a conducting bulk remains between the
        layers) or "no interface".
    """

    n: float
    b: float | dict[str, float]
    separation: float | dict[str, float]
    regime: str | dict[str, str]

    @property
    def void(self) -> str:
        """Why the analogy is void, in a sentence; empty where it stands.

        A boundary means something only where the two species are apart: it is void without an
        interface, and where less than 90 % of a species lies on its own side.
        """
        said = []
        for name, b, share, regime in self.rows():
            where = f"{name}: " if name else ""
            if np.isnan(b):
                said.append(f"{where}no interface, so the cell gives no b")
            elif not share >= SEPARATED:
                said.append(
                    f"{where}only {share:.0%} of a species is on its own side ({regime}), so b "
                    "separates little"
                )
        return "; ".join(said) + (": raise the voltage" if said else "")

    def rows(self) -> list[tuple[str, float, float, str]]:
        """(modality, b, separation, regime) of each modality; one without a name for one cell."""
        if not isinstance(self.b, Mapping):
            return [("", self.b, self.separation, self.regime)]  # type: ignore[list-item]
        columns = (self.b, self.separation, self.regime)
        return [(m, *(column[m] for column in columns)) for m in self.b]  # type: ignore[index, misc]


def cell_for(
    dims: Mapping[str, int], modality: str, *, n: float = 4, voltage: float = 20.0
) -> Cell:
    """Return the cell of one modality (PMR Table 2, Eq. 10).

    The species "shared" has the amount l* = min(dims) and valence +1, "specific" the amount l_m
    and valence -l*/l_m, so that the whole is neutral (PMR Eq. 10). The electrode at x = 0 is the
    negative one: the shared features gather there, and the interface divides a length b of the
    cell for them from the rest, as the boundary b divides the dissolved features.

    Parameters
    ----------
    dims : {modality: width}
        Widths of at least two modalities.
    modality : str
        Which one.
    n : float
        Cell length in Debye lengths; the factor n of the fusion block.
    voltage : float
        Electrodes at -voltage (x = 0) and +voltage, in units of kB T/e; positive.

    Returns
    -------
    Cell
        Closed, at 300 K in vacuum, one feature being 1e20 ions/m^3.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what would do.

    Notes
    -----
    In the strong field both species are packed on their sides and b = l*/(l* + l_m): 1/2 for
    equal widths, 3/11 for 2048 beside 768.
    """
    widths = _checked(dims)
    if not isinstance(modality, str) or modality not in widths:
        raise ValueError(f"modality: got {modality!r}; give one of {', '.join(widths)}")
    n, voltage = _above_zero("n", n), _above_zero("voltage", voltage)
    common, width = min(widths.values()), widths[modality]
    ions = (
        Ion("shared", 1.0, common * _UNIT),
        Ion("specific", -common / width, width * _UNIT),
    )
    unit = Cell(length=1.0, ions=ions, temperature=_TEMPERATURE)
    volt = unit.thermal_voltage
    return unit.replace(length=n * unit.debye_length, potential=(-voltage * volt, voltage * volt))


def hyperparameters_from(solution: xr.Dataset) -> Hyperparameters:
    """Read (n, b), separation and regime off the solution of a cell.

    Parameters
    ----------
    solution : xarray.Dataset
        From `solve_equilibrium`, of a cell like those of `cell_for`. In any other cell b is still
        the interface measured from x = 0, whichever species is there.

    Raises
    ------
    ValueError
        If ``solution`` is not such a Dataset or did not converge.
    """
    needed = {"interface", "length", "length_ratio", "separation", "concentration"}
    if not isinstance(solution, xr.Dataset) or not needed <= set(solution.variables):
        raise ValueError(
            f"solution: got {type(solution).__name__} without the variables of a solved cell; "
            "give what solve_equilibrium returns"
        )
    outcome = solution.attrs.get("outcome")
    if outcome != "converged":
        raise ValueError(f"solution: got one with the outcome {outcome!r}; give a converged one")
    b = float(solution["interface"] / solution["length"])
    return Hyperparameters(
        n=float(solution["length_ratio"]),
        b=b,
        separation=float(solution["separation"].min()),  # NaN only of an uncharged species
        regime=_regime(solution, b),
    )


def hyperparameters(
    dims: Mapping[str, int], *, n: float = 4, voltage: float = 20.0
) -> Hyperparameters:
    """Return (n, b) for every modality, from one simulated cell each.

    Parameters
    ----------
    dims, n, voltage
        As in `cell_for`.

    Returns
    -------
    Hyperparameters
        With dicts over the modalities; for n >= 1 ``PMR(dims, h.n, h.b)`` takes them as they are,
        unless ``h.void`` names a modality without an interface.
    """
    found: dict[str, Any] = {
        m: hyperparameters_from(solve_equilibrium(cell_for(dims, m, n=n, voltage=voltage)))
        for m in _checked(dims)
    }
    return Hyperparameters(
        n=float(n),
        b={m: h.b for m, h in found.items()},
        separation={m: h.separation for m, h in found.items()},
        regime={m: h.regime for m, h in found.items()},
    )


def mapping_dataset(found: Hyperparameters) -> xr.Dataset:
    """Return hyperparameters with one value a modality as a Dataset over (modality)."""
    modalities, *columns = zip(*found.rows(), strict=True)
    long_names = {
        "b": "boundary as a ratio: interface over cell length",
        "separation": "share of the worse separated species on its own side",
        "regime": "regime of the cell",
    }
    return xr.Dataset(
        {
            name: ("modality", list(values), {"units": "1", "long_name": long_name})
            for (name, long_name), values in zip(long_names.items(), columns, strict=True)
        },
        coords={
            "modality": ("modality", list(modalities), {"units": "1", "long_name": "modality"})
        },
        attrs=provenance("fusion hyperparameters from simulated cells", n=found.n, void=found.void),
    )


def _regime(solution: xr.Dataset, b: float) -> str:
    if np.isnan(b):
        return "no interface"
    if float(solution["length_ratio"]) < 1.0:
        return "unscreened"
    ions = solution["concentration"].sum("species")
    mean = float(ions.integrate("x") / solution["length"])
    return "depleted" if float(ions.min()) < DEPLETED * mean else "screened"


def _checked(dims: Mapping[str, int]) -> dict[str, int]:
    if not isinstance(dims, Mapping) or len(dims) < 2:
        raise ValueError(
            f"dims: got {dims!r}; give {{modality: width}} with two or more modalities"
        )
    widths = {}
    for name, width in dims.items():
        try:
            number = operator.index(width)
        except TypeError:
            number = 0
        if isinstance(width, bool) or number < 1:
            raise ValueError(f"dims[{name!r}]: got {width!r}; give a whole number of at least 1")
        if not isinstance(name, str):
            raise ValueError(f"dims: got the modality name {name!r}; give strings as names")
        widths[name] = number
    return widths


def _above_zero(name: str, value: float) -> float:
    number = finite_number(name, value)
    if number <= 0.0:
        raise ValueError(f"{name}: got {number:g}; give a number above 0")
    return number
