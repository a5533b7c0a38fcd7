"""What a cell says about a fusion block: (n, b), and what to think of them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from pnpfuse.mapping.regime import SEPARATED
from pnpfuse.provenance import provenance

# A b this close to its limit is at it.
AT_LIMIT = 1e-4
# A species that feels this many kB T is packed on its side, in cells of a few Debye lengths.
FELT = 5.0
_NAN = math.nan


class Row(NamedTuple):
    """What the cell of one modality says; see `Hyperparameters`."""

    modality: str
    b: float
    separation: float
    regime: str
    width: float
    limit: float
    felt: float


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
    width : float or {modality: float}
        Width of the interface over the cell length: from 10 % to 90 % of the one species among
        both; NaN without an interface.
    voltage : float
        Half the potential difference that the ions feel, kB T/e.
    limit : float or {modality: float}
        What b tends to as the voltage grows, l*/(l* + l_m) by the charges of the species; NaN for
        a cell that is not closed or does not hold two species of opposite charge.
    felt : float or {modality: float}
        |z| times the voltage for the species of the smaller charge [kB T]; NaN where ``limit`` is.
    """

    n: float
    b: float | dict[str, float]
    separation: float | dict[str, float]
    regime: str | dict[str, str]
    width: float | dict[str, float] = _NAN
    voltage: float = _NAN
    limit: float | dict[str, float] = _NAN
    felt: float | dict[str, float] = _NAN

    @property
    def void(self) -> str:
        """Why the analogy is void, in a sentence; empty where it stands.

        A boundary means something only where the two species are apart: it is void without an
        interface, and where less than 90 % of a species lies on its own side.
        """
        said = []
        for row in self.rows():
            where = f"{row.modality}: " if row.modality else ""
            if np.isnan(row.b):
                said.append(f"{where}no interface, so the cell gives no b")
            elif not row.separation >= SEPARATED:
                said.append(
                    f"{where}only {row.separation:.0%} of a species is on its own side "
                    f"({row.regime}), so b separates little"
                )
        return "; ".join(said) + (": raise the voltage" if said else "")

    @property
    def off_limit(self) -> str:
        """Which b is not at its strong-field limit and why, in a sentence; empty where all are.

        A b within 1e-4 of its limit is at it.
        """
        return "; ".join(
            f"{row.modality}: {said}" if row.modality else said
            for row in self.rows()
            if (said := self._off(row))
        )

    def _off(self, row: Row) -> str:
        gap = row.b - row.limit
        if not abs(gap) > AT_LIMIT:
            return ""
        said = (
            f"b = {row.b:.4f} is {abs(gap):.2g} {'below' if gap < 0 else 'above'} the limit of a "
            f"strong field, {ratio_text(row.limit)}"
        )
        if row.felt < FELT:
            charge = fraction_text(row.felt / self.voltage)
            return (
                f"{said}: its more weakly charged species (valence {charge}) feels only "
                f"{row.felt:.2g} kB T; {FELT:g} are felt at a voltage of "
                f"{self.voltage * FELT / row.felt:.3g}"
            )
        return f"{said}: over {self.n:g} Debye lengths the ions screen the field"

    def rows(self) -> list[Row]:
        """What each modality's cell says; one row without a name for one cell."""
        fields = Row._fields[1:]
        if not isinstance(self.b, Mapping):
            return [Row("", *(getattr(self, name) for name in fields))]
        return [Row(m, *(self._of(name, m) for name in fields)) for m in self.b]

    def _of(self, name: str, modality: str) -> Any:
        value = getattr(self, name)
        return value[modality] if isinstance(value, Mapping) else value


def mapping_dataset(found: Hyperparameters, dims: Mapping[str, int] | None = None) -> xr.Dataset:
    """Return hyperparameters with one value a modality as a Dataset over (modality).

    Parameters
    ----------
    found : Hyperparameters
        From `hyperparameters`.
    dims : {modality: width}, optional
        The widths that it was made of, for the attributes.
    """
    rows = found.rows()
    given = {} if dims is None else {"dims": json.dumps({m: int(d) for m, d in dims.items()})}
    variables = {
        "b": ("1", "boundary as a ratio: interface over cell length"),
        "separation": ("1", "share of the worse separated species on its own side"),
        "regime": ("1", "regime of the cell"),
        "width": ("1", "interface width over cell length, from 10 % to 90 %"),
        "limit": ("1", "b in the limit of a strong field"),
        "felt": ("kB T", "energy that the more weakly charged species feels at an electrode"),
    }
    return xr.Dataset(
        {
            name: (
                "modality",
                [getattr(row, name) for row in rows],
                {"units": units, "long_name": long_name},
            )
            for name, (units, long_name) in variables.items()
        },
        coords={
            "modality": (
                "modality",
                [row.modality for row in rows],
                {"units": "1", "long_name": "modality"},
            )
        },
        attrs=provenance(
            "fusion hyperparameters from simulated cells",
            n=found.n, voltage=found.voltage, void=found.void, off_limit=found.off_limit, **given,
        ),
    )  # fmt: skip


def ratio_text(value: float) -> str:
    """A ratio with four digits, after the simple fraction that it is, if it is one."""
    fraction = fraction_text(value)
    return f"{fraction} = {value:.4f}" if "/" in fraction else f"{value:.4f}"


def fraction_text(value: float) -> str:
    """A ratio as the simple fraction that it is, or with three digits."""
    if math.isnan(value):
        return "nan"
    near = Fraction(value).limit_denominator(999)
    return str(near) if abs(near - value) < 1e-12 else f"{value:.3g}"
