"""The cell of a modality: what the features share against what is the modality's own."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from pnpfuse_solvers import Cell, Ion
from pnpfuse_solvers.arguments import finite_number

_UNIT = 1e20  # number density [1/m^3] of one feature; it sets the scale of the SI values only
_TEMPERATURE = 300.0
WIDEST = 2**53  # up to here float64 knows every whole number


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
    widths = checked_dims(dims)
    if not isinstance(modality, str) or modality not in widths:
        raise ValueError(f"modality: got {modality!r}; give one of {', '.join(widths)}")
    n, voltage = above_zero("n", n), above_zero("voltage", voltage)
    common, width = min(widths.values()), widths[modality]
    return two_species(common, width, n, voltage)


def two_species(shared: float, specific: float, n: float, voltage: float) -> Cell:
    """The cell of these amounts, in features, n Debye lengths long; neutral as a whole."""
    ions = (
        Ion("shared", 1.0, shared * _UNIT),
        Ion("specific", -shared / specific, specific * _UNIT),
    )
    unit = Cell(length=1.0, ions=ions, temperature=_TEMPERATURE)
    volt = unit.thermal_voltage
    return unit.replace(length=n * unit.debye_length, potential=(-voltage * volt, voltage * volt))


def checked_dims(dims: Mapping[str, int]) -> dict[str, int]:
    """Widths as whole numbers; ValueError for anything but two or more of them by name."""
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
        if isinstance(width, bool) or not 1 <= number <= WIDEST:
            raise ValueError(
                f"dims[{name!r}]: got {width!r:.60}; give a whole number from 1 to {WIDEST}"
            )
        if not isinstance(name, str):
            raise ValueError(f"dims: got the modality name {name!r}; give strings as names")
        widths[name] = number
    return widths


def above_zero(name: str, value: float) -> float:
    """``value`` as a float; ValueError where it is not above 0."""
    number = finite_number(name, value)
    if number <= 0.0:
        raise ValueError(f"{name}: got {number:g}; give a number above 0")
    return number
