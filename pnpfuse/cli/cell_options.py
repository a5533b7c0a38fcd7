"""The options of the command line that make a `Cell`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pnpfuse_solvers import Cell


def add_cell_options(parser: argparse.ArgumentParser) -> None:
    """The voltage, and one of the three ways to say what the cell is."""
    parser.add_argument("--voltage", type=float, required=True, help="electrodes at +-V, in kB T/e")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--fig8", action="store_true", help="the cell of PMR Fig. 8 (default)")
    size.add_argument("--length-ratio", type=float, help="length in Debye lengths")
    size.add_argument("--length", type=float, help="length in m, with --ion")
    parser.add_argument(
        "--ion", nargs=3, action="append", metavar=("NAME", "VALENCE", "DENSITY"),
        help="an ion with its number density in 1/m^3, with --length; once for each",
    )  # fmt: skip
    parser.add_argument("--valences", type=float, nargs="+", help="with --length-ratio (1 -1)")
    parser.add_argument("--concentrations", type=float, nargs="+",
                        help="relative, with --length-ratio (1 1)")  # fmt: skip
    parser.add_argument("--temperature", type=float, help="in K, with --length (300)")
    parser.add_argument("--permittivity", type=float, help="relative, with --length (1)")
    parser.add_argument("--contact", default="closed", help="closed or reservoir (%(default)s)")


def cell_given(given: argparse.Namespace) -> Cell:
    """The cell that the command line gives; ValueError for options that do not go together."""
    from pnpfuse_solvers import Cell, Ion

    mode = next((m for m in ("length", "length_ratio") if getattr(given, m) is not None), "fig8")
    belongs = {
        "ion": "length",
        "temperature": "length",
        "permittivity": "length",
        "valences": "length_ratio",
        "concentrations": "length_ratio",
    }
    for option, home in belongs.items():
        if getattr(given, option) is not None and mode != home:
            raise ValueError(f"--{option} goes with --{home.replace('_', '-')}")
    if mode == "fig8":
        return Cell.fig8(given.voltage, contact=given.contact)
    if mode == "length_ratio":
        if (given.valences is None) != (given.concentrations is None):
            raise ValueError("--valences and --concentrations go together, one number an ion each")
        valences = given.valences or [1.0, -1.0]
        concentrations = given.concentrations or [1.0, 1.0]
        return Cell.dimensionless(
            given.length_ratio, given.voltage, valences, concentrations, given.contact
        )
    if not given.ion:
        raise ValueError("--length needs at least one --ion NAME VALENCE DENSITY")
    ions = tuple(Ion(name, valence, density) for name, valence, density in given.ion)
    cell = Cell(
        given.length,
        ions,
        temperature=300.0 if given.temperature is None else given.temperature,
        relative_permittivity=1.0 if given.permittivity is None else given.permittivity,
        contact=given.contact,
    )
    return cell.at_voltage(given.voltage)
