"""What all figures share: colours, type, SI prefixes, blank figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from pnpfuse_solvers.grid import Array

# Colour-blind safe (Okabe and Ito).
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#4D4D4D"
CYCLE = (RED, BLUE, "#E69F00", "#CC79A7", "#56B4E9", GREEN)
DASHES = ("-", "--", "-.", ":")
MAP = "cividis"
STYLE: Any = {
    "font.size": 8.5, "axes.labelsize": 8.5, "axes.titlesize": 8.5, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.linewidth": 0.6, "lines.linewidth": 1.3,
    "xtick.direction": "in", "ytick.direction": "in", "xtick.top": True, "ytick.right": True,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4, "legend.frameon": False, "axes.formatter.use_mathtext": True,
    "mathtext.fontset": "dejavusans", "axes.unicode_minus": True,
}  # fmt: skip
PREFIXES = {
    -24: "y", -21: "z", -18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "",
    3: "k", 6: "M", 9: "G", 12: "T", 15: "P",
}  # fmt: skip
# Units that take a prefix: their first letter is a plain unit to the power 1.
_PREFIXED = ("m", "V", "s", "C", "J", "W", "A", "Hz", "ohm", "F", "S")


def prefix(largest: float, units: str) -> tuple[float, str]:
    """Return (factor, unit as math text) that bring a size to between 1 and 1000.

    Parameters
    ----------
    largest : float
        The largest absolute value to be shown.
    units : str
        As results carry them, for example "C m-2". Powers ("m-3") and pure numbers stay.
    """
    first = units.split(" ")[0]
    power = 0
    if first in _PREFIXED and np.isfinite(largest) and largest > 0.0:
        # A little below 1000 rather than 0.9995 of the next prefix.
        power = int(np.clip(3 * np.floor(np.log10(largest * 1.0001) / 3), -24, 15))
    return 10.0**-power, PREFIXES[power] + math_text(units)


def math_text(units: str) -> str:
    """Units as Matplotlib sets them, exponents raised."""
    words = []
    for word in units.replace("kB T/e", r"$k_\mathrm{B}T/e$").split(" "):
        base = word.rstrip("-0123456789")
        power = word[len(base) :]
        base = {"ohm": "Ω"}.get(base, base)
        words.append(f"{base}$^{{{power}}}$" if power and base.isalpha() else base + power)
    return " ".join(words)


def power(value: float) -> str:
    """Return a number as math text, with a power of ten where it is far from 1."""
    if not np.isfinite(value) or value == 0.0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.4g}"
    digits, exponent = f"{value:.3e}".split("e")
    return rf"${digits.rstrip('0').rstrip('.')}\times10^{{{int(exponent)}}}$"


def quantity(value: float, units: str) -> str:
    """Return a number with its unit and an SI prefix, in plain text: 8.45e-8 m is 84.5 nm."""
    if units in ("", "1"):
        return f"{value:.4g}"
    factor, _ = prefix(abs(value), units)
    letter = PREFIXES[-round(np.log10(factor))]
    return f"{value * factor:.4g} {letter}{units}"


def blank_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> Any:
    """A Figure and its axes (rows, columns)."""
    from pnpfuse_solvers.canvas import ShownFigure

    made = ShownFigure(figsize=size, layout="constrained", dpi=150)
    return made, made.subplots(rows, columns, squeeze=False, **options)


def marker(t: Array) -> str:
    """Dots where points are few, none where they make a line."""
    return "o" if t.size < 16 else ""


def spans_decades(values: Array, at_least: float = 1.7) -> bool:
    """True where positive values spread over so many decades."""
    return values.size > 1 and bool(np.log10(values.max() / values.min()) > at_least)
