"""The regime map: what becomes of b and separation over length, voltage and charge ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pnpfuse.mapping.cells import two_species
from pnpfuse.mapping.regime import REGIMES, regime_codes
from pnpfuse.provenance import provenance
from pnpfuse_solvers import solve_many

# Equal steps of length and voltage: along a diagonal of the map the field is the same.
_STEP = 10 ** (1 / 34)
LENGTHS = tuple((0.05 * _STEP ** np.arange(125)).tolist())  # to 222 Debye lengths
VOLTAGES = tuple((0.5 * _STEP ** np.arange(80)).tolist())  # to 105 kB T/e
CHARGE_RATIOS = (1 / 32, 1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0)
# Cells whose fields differ by less than this share of a step of length are in the same field.
_SAME_FIELD = 0.05
# How the reasons of the solver begin, and their words here; the last is for failed cells.
_REASONS = {
    "": "found",
    "none: cations": "shared_in_the_majority_everywhere",
    "none: anions": "specific_in_the_majority_everywhere",
    "not determined": "not_determined",
    "failed": "failed",
}


def regime_map(
    length_ratio: Sequence[float] | None = None,
    voltage: Sequence[float] | None = None,
    charge_ratio: Sequence[float] | None = None,
    *,
    nodes: int = 201,
    threads: int | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Return b, separation, interface width and regime of the cells of `cell_for`, as a map.

    By default 100000 cells, solved in one call of `solve_many`.

    Parameters
    ----------
    length_ratio : sequence of float
        Cell lengths in Debye lengths, n; positive. By default 125 from 0.05 to 222.
    voltage : sequence of float
        Electrodes at -voltage (x = 0) and +voltage, kB T/e; positive. By default 80 from 0.5 to
        105, in the same steps of 7 %.
    charge_ratio : sequence of float
        r = l*/l_m: the species are of valence +1 and -r, their amounts as r to 1; positive.
        By default 10 from 1/32 to 1.
    nodes, threads, progress
        As in `solve_many`.

    Returns
    -------
    xarray.Dataset
        Over (length_ratio, voltage, charge_ratio): `b`, `separation` (of the species that is
        separated worst), `width` (10 to 90 %, over the length), `limit` (b in the strong field,
        over charge_ratio only), and as codes with ``flag_values`` and ``flag_meanings`` `regime`
        and `reason` (why there is no b). A cell that failed is NaN, of the regime "failed", and
        counted in ``attrs["outcome"]``.

    Raises
    ------
    ValueError
        For a value that is not positive and finite.

    Examples
    --------
    >>> found = regime_map([4], [5, 20], [3 / 8])
    >>> found.b.values.round(4).ravel().tolist(), decoded(found.regime).ravel().tolist()
    ([0.2608, 0.2727], ['screened', 'depleted'])
    """
    axes = {
        name: _positive(name, default if values is None else values)
        for name, values, default in (
            ("length_ratio", length_ratio, LENGTHS),
            ("voltage", voltage, VOLTAGES),
            ("charge_ratio", charge_ratio, CHARGE_RATIOS),
        )
    }
    cell = two_species(1.0, 1.0, n=1.0, voltage=1.0)
    ratios = axes["charge_ratio"]
    with np.errstate(over="ignore"):
        amounts = cell.ions[0].concentration / ratios
    if not np.isfinite(amounts).all():
        raise ValueError(f"charge_ratio: got {ratios.min():g}; give greater ones, as 1e-9")
    pairs = {"specific.valence": -ratios, "specific.concentration": amounts}
    # Electrodes at +voltage and -voltage in the solver: the shared species gathers at -voltage.
    vary: dict[str, Any] = {
        "length_ratio": axes["length_ratio"], "voltage": -axes["voltage"], "charge_ratio": pairs,
    }  # fmt: skip
    found = solve_many(cell, vary, nodes=nodes, threads=threads, progress=progress)
    return _mapped(found, axes)


def decoded(codes: xr.DataArray) -> np.ndarray:
    """The words of `regime` or `reason` of a map, for its codes."""
    words = np.array([word.replace("_", " ") for word in codes.attrs["flag_meanings"].split()])
    return words[codes.values]


def _positive(name: str, values: Sequence[float]) -> np.ndarray:
    try:
        axis = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError, OverflowError):
        axis = np.zeros(0)
    if axis.ndim != 1 or not axis.size or not (np.isfinite(axis) & (axis > 0.0)).all():
        raise ValueError(f"{name}: got {values!r:.60}; give a list of numbers above 0")
    if np.unique(axis).size < axis.size:
        raise ValueError(f"{name}: got {values!r:.60}; give each number once")
    return axis


def _mapped(found: xr.Dataset, axes: dict[str, np.ndarray]) -> xr.Dataset:
    dims = tuple(axes)
    failed = found["outcome"].values != "converged"
    b = (found["interface"] / found["length"]).values
    regime = regime_codes(axes["length_ratio"][:, None, None], found["least_density"].values, b)
    regime[failed] = len(REGIMES)
    ratios = axes["charge_ratio"]

    def shown(values: np.ndarray, long_name: str, **attrs: Any) -> tuple[Any, ...]:
        return dims, values, {"units": "1", "long_name": long_name, **attrs}

    return xr.Dataset(
        {
            "b": shown(b, "interface over cell length"),
            "separation": shown(
                found["separation"].min("species").values,
                "share of the worse separated species on its own side",
            ),
            "width": shown(
                (found["interface_width"] / found["length"]).values,
                "interface width over cell length, from 10 % to 90 %",
            ),
            "limit": (
                "charge_ratio", ratios / (1 + ratios),
                {"units": "1", "long_name": "b in the limit of a strong field"},
            ),
            "regime": shown(
                regime, "regime of the cell", **_flags([*REGIMES, "failed"])
            ),
            "reason": shown(
                _reasons(found, failed), "why there is no b", **_flags(list(_REASONS.values()))
            ),
        },
        coords={
            "length_ratio": _coordinate("length_ratio", axes, "1", "l/λ_D"),
            "voltage": _coordinate("voltage", axes, "kB T/e", "electrodes at ∓ voltage"),
            "charge_ratio": _coordinate("charge_ratio", axes, "1", "l*/l_m"),
        },
        attrs=provenance(
            "regimes of closed cells of two species",
            outcome=found.attrs["outcome"],
            failed=int(failed.sum()),
            parameters=found.attrs["parameters"],
            nodes=found.attrs["nodes"],
        ),
    )  # fmt: skip


def _coordinate(
    name: str, axes: dict[str, np.ndarray], units: str, long_name: str
) -> tuple[str, np.ndarray, dict[str, str]]:
    return name, axes[name], {"units": units, "long_name": long_name}


def _flags(words: Sequence[str]) -> dict[str, Any]:
    """Attributes by which the CF conventions explain codes."""
    return {
        "flag_values": list(range(len(words))),
        "flag_meanings": " ".join(word.replace(" ", "_") for word in words),
    }


def _reasons(found: xr.Dataset, failed: np.ndarray) -> np.ndarray:
    words, said = list(_REASONS), found["interface_reason"].values
    code = np.where(np.isnan(found["interface"].values), words.index("not determined"), 0)
    for k, start in enumerate(words):
        if start.startswith("none"):
            code[np.char.startswith(said, start)] = k
    code[failed] = words.index("failed")
    return code.astype(np.int8)


def at_voltage(found: xr.Dataset, voltage: float) -> xr.Dataset:
    """The cells of a map at the voltage nearest to the given one, over length_ratio."""
    return found.sel(voltage=voltage, method="nearest")


def at_field(found: xr.Dataset, field: float) -> xr.Dataset:
    """The cells of a map in one field, the nearest to the given one, over length_ratio.

    Those lengths that the map has a voltage for: with it the field is the same to a twentieth of
    the least step of the lengths, on a logarithmic scale. Exactly so where lengths and voltages go
    in equal steps; of other maps it may be a single cell.

    Parameters
    ----------
    found : xarray.Dataset
        From `regime_map`.
    field : float
        kB T/e per Debye length.
    """
    lengths, voltages = (np.log(found[name].values) for name in ("length_ratio", "voltage"))
    fields = voltages - lengths[:, None]
    held = fields.flat[np.abs(fields - np.log(field)).argmin()]
    away = np.abs(fields - held)
    least = np.diff(np.sort(lengths)).min(initial=np.inf)
    on = np.flatnonzero(away.min(axis=1) <= _SAME_FIELD * least)
    along = xr.DataArray(away.argmin(axis=1)[on], dims="length_ratio")
    return found.isel(length_ratio=on).isel(voltage=along)


def longer_cells(found: xr.Dataset) -> tuple[tuple[int, int], tuple[int, int]]:
    """What separation does from one length of a map to the next.

    Returns
    -------
    (int, int)
        At fixed voltages: steps in which it does not rise, and all steps.
    (int, int)
        In fixed fields: steps in which it does not fall, and all steps.
    """
    share = found[["separation"]].sortby(["length_ratio", "voltage"])
    lengths, voltages = share["length_ratio"].values, share["voltage"].values
    rise = _rises(share)
    with np.errstate(over="ignore", under="ignore"):
        fields = np.concatenate([voltages / lengths[0], voltages[0] / lengths[1:]])
    fields = fields[np.isfinite(fields) & (fields > 0.0)]
    along = np.concatenate([_rises(at_field(share, field)) for field in fields] or [np.empty(0)])
    level = 1e-6  # more than separation is off by
    return (int((rise < level).sum()), rise.size), (int((along > -level).sum()), along.size)


def _rises(cells: xr.Dataset) -> np.ndarray:
    """Finite changes of separation from each length to the next."""
    change = cells["separation"].transpose("length_ratio", ...).diff("length_ratio").values
    return change[np.isfinite(change)]
