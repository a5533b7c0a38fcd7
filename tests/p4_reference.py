"""Charging of a cell of 20 Debye lengths by an independent route: makes p4_reference.json.

Chebyshev collocation in space, the potential eliminated, Radau in time with an exact Jacobian, all
in Debye lengths and Debye times. Run as ``python tests/p4_reference.py``; 96 and 128 points agree
to 1e-9.
"""

import json
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

LENGTH = 20.0
# In charging times lambda_D L / D, by which a cell of LENGTH has LENGTH Debye times.
TIMES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0)
FILE = Path(__file__).with_suffix(".json")


def clock(cell):
    """Charging time lambda_D l / D [s] for D = 1e-9 m^2/s."""
    return cell.debye_length * cell.length / 1e-9


def derivative(n):
    """Points and differentiation matrix (n, n) on [0, LENGTH] of Chebyshev (Trefethen 2000)."""
    j = np.arange(n)
    x = -np.cos(np.pi * j / (n - 1))
    weight = np.where((j == 0) | (j == n - 1), 2.0, 1.0) * (-1.0) ** j
    gaps = x[:, None] - x + np.eye(n)
    d = np.outer(weight, 1.0 / weight) / gaps
    return (d - np.diag(d.sum(axis=1))) * 2.0 / LENGTH


def charges(voltage, n, rtol=1e-10):
    """-du/dx at x = 0 at TIMES between electrodes at +-voltage, D = 1."""
    d = derivative(n)
    laplace = d @ d
    laplace[0], laplace[-1] = np.eye(n)[0], np.eye(n)[-1]
    green = np.linalg.inv(laplace)
    to_slope = -0.5 * d @ (green * np.isin(np.arange(n), [0, n - 1], invert=True))
    applied = d @ green @ (voltage * np.eye(n)[0] - voltage * np.eye(n)[-1])

    def slope(c):
        return to_slope @ (c[0] - c[1]) + applied

    def rate(t, y):
        c = y.reshape(2, n)
        flux = c @ d.T + np.array([[1.0], [-1.0]]) * c * slope(c)
        flux[:, [0, -1]] = 0.0
        return (flux @ d.T).ravel()

    def jacobian(t, y):
        c = y.reshape(2, n)
        rows = []
        for s, z in enumerate((1.0, -1.0)):
            parts = [z * c[s][:, None] * to_slope * sign for sign in (1.0, -1.0)]
            parts[s] = parts[s] + d + z * np.diag(slope(c))
            for part in parts:
                part[[0, -1]] = 0.0
            rows.append([d @ part for part in parts])
        return np.block(rows)

    at = LENGTH * np.array(TIMES)
    run = solve_ivp(
        rate, (0.0, at[-1]), np.ones(2 * n), "Radau", at, jac=jacobian, rtol=rtol, atol=1e-13
    )
    return [-slope(y.reshape(2, n))[0] for y in run.y.T]


if __name__ == "__main__":
    found = {f"{voltage:g}": charges(voltage, 128) for voltage in (1.0, 5.0)}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
