"""What the answers are measured against: closed forms, and constants made by `references.py`."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from reference import ClosedCell

REFERENCES = json.loads(Path(__file__).with_name("references.json").read_text(encoding="utf-8"))


def gouy_chapman(ratio, voltage, x):
    """Potential at x on [0, 1] of two walls at +-voltage that do not feel each other.

    4 artanh q, q = tanh(U/4) exp(-k d), written so that 1 - q keeps its digits at high voltage.
    """

    def wall(d):
        top = np.tanh(voltage / 4)
        lack = 2 / (np.exp(voltage / 2) + 1) - top * np.expm1(-ratio * d)
        return 2 * np.log((2 - lack) / lack)

    return wall(x) - wall(1 - x)


def graded(ratio, voltage, count):
    """Nodes on [0, 1], about ``count``, graded to both walls of a Gouy-Chapman cell."""
    layer = 2 * np.exp(-voltage / 2) / ratio
    s = np.linspace(0.0, 1.0, count // 2 + 1)
    half = layer * np.expm1(s * np.log1p(0.5 / layer))
    return np.concatenate([half[:-1], [0.5], 1.0 - half[-2::-1]])


def potential_error(contact, ratio, voltage, x, u, points=60):
    """Largest error of u at up to ``points`` nodes of the left half.

    Half of the cell, by symmetry: there distances from the wall keep their digits.
    """
    x, u = np.asarray(x), np.asarray(u)
    order = np.argsort(x)
    left = order[x[order] < 0.5]
    if contact == "reservoir":
        return float(np.abs(u[left] - gouy_chapman(ratio, voltage, x[left])).max())
    some = left[:: max(1, left.size // points)]
    exact = np.array(_closed(ratio, voltage).potential(x[some], u[some]))
    return float(np.abs(u[some] - exact).max())


_cells = {}


def _closed(ratio, voltage):
    key = (ratio, voltage)
    if key not in _cells:
        _cells[key] = ClosedCell(ratio, voltage)
    return _cells[key]


def flux_error(name, flux):
    """Largest relative error of the fluxes of P3, in its dimensionless unit."""
    return float(np.abs(np.asarray(flux) / REFERENCES["flux"][name] - 1).max())


def charge_error(voltage, charge):
    """Largest relative error of q(t) of P4 over the recorded times."""
    exact = np.array(REFERENCES["charge"][str(voltage)])
    return float(np.abs(np.asarray(charge).ravel() / exact - 1).max())
