"""The hyperparameters (n, b) that a solved cell stands for, and where the analogy is void."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse.mapping.cells import cell_for, checked_dims
from pnpfuse.provenance import provenance
from pnpfuse_solvers import solve_equilibrium

# Below this share of either species on its own side the two are mixed and the analogy is void.
SEPARATED = 0.9
# A bulk with less than this share of the mean ion density is depleted.
DEPLETED = 0.01


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
        for m in checked_dims(dims)
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
