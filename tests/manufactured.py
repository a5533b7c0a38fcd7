"""Cells whose exact solution is known because it was chosen first: SymPy derives the fixed charge.

Potential and permittivity are chosen, the ions follow from them, and Gauss's law says which fixed
charge makes that an exact solution. Everything here is symbolic but the means over a closed cell.
"""

import dataclasses
import functools

import numpy as np
import scipy.integrate
import sympy as sp

from pnpfuse_solvers import Cell

X = sp.Symbol("x", real=True)


@functools.cache
def _function(expression: sp.Expr):
    return sp.lambdify(X, expression)


@dataclasses.dataclass(frozen=True)
class Manufactured:
    """A cell and its exact solution."""

    cell: Cell
    u: sp.Expr  # of X in m, kB T/e
    c: tuple[sp.Expr, ...]  # 1/m^3

    def at(self, expression: sp.Expr, x: np.ndarray) -> np.ndarray:
        return _function(expression)(x) + 0.0 * x

    def surface_charge(self) -> list[float]:
        """Charge of the electrodes [C/m^2], from the chosen potential."""
        k, cell = self.cell.constants, self.cell
        slope = self.at(sp.diff(self.u, X), np.array([0.0, cell.length]))
        field = -cell.permittivity_at(np.array([0.0, cell.length])) * k.permittivity * slope
        return list(field * cell.thermal_voltage * np.array([1.0, -1.0]))


def _charged(cell: Cell, u: sp.Expr, c: tuple[sp.Expr, ...]) -> Manufactured:
    """Put the fixed charge and the electrodes' potentials that make u and c exact."""
    k = cell.constants
    epsilon = cell.relative_permittivity
    epsilon = sp.sympify(epsilon) if isinstance(epsilon, float) else epsilon.symbolic
    unit = k.permittivity * k.boltzmann * cell.temperature / k.charge**2
    mobile = sum(ion.valence * each for ion, each in zip(cell.ions, c, strict=True))
    charge = -unit * sp.diff(epsilon * sp.diff(u, X), X) - mobile
    slope = sp.diff(u, X)
    left, right = cell.stern_thickness
    ends = (
        (u - left * slope).subs(X, 0.0).evalf(20),
        (u + right * slope).subs(X, cell.length).evalf(20),
    )
    volts = tuple(float(end) * cell.thermal_voltage for end in ends)
    return Manufactured(cell.replace(fixed_charge=charge, potential=volts), u, c)


def equilibrium(cell: Cell, u: sp.Expr) -> Manufactured:
    """``cell`` at the potential ``u(x)``; its ions are points or all of one size."""
    boltzmann = [sp.exp(-ion.valence * u) for ion in cell.ions]
    amounts = [ion.concentration for ion in cell.ions]
    if cell.contact == "closed":
        assert cell.ideal
        means = [
            scipy.integrate.quad(
                sp.lambdify(X, each), 0.0, cell.length, epsabs=0.0, epsrel=1e-13, limit=400
            )[0]
            / cell.length
            for each in boltzmann
        ]
        amounts = [amount / mean for amount, mean in zip(amounts, means, strict=True)]
    points = [amount * each for amount, each in zip(amounts, boltzmann, strict=True)]
    volume = cell.ions[0].diameter ** 3
    assert all(ion.diameter == cell.ions[0].diameter for ion in cell.ions)
    # Bikerman: c_i / (1 - Phi) is what follows Boltzmann's law.
    free = 1 - volume * sum(amounts)
    return _charged(cell, u, tuple(c / (free + volume * sum(points)) for c in points))


def steady(cell: Cell, power: float, fluxes: list[float], amounts: list[float]) -> Manufactured:
    """``cell`` carrying given fluxes [1/(m^2 s)] at ``u = power * ln(1 + x/length)``.

    ``c = exp(-z u) (amount - flux/D int_0^x exp(z u))``; the integrand is a power of 1 + x/length.
    """
    stretch = 1 + X / cell.length
    c = []
    for ion, flux, amount in zip(cell.ions, fluxes, amounts, strict=True):
        exponent = sp.nsimplify(ion.valence * power)
        integral = cell.length * (stretch ** (exponent + 1) - 1) / (exponent + 1)
        c.append(stretch**-exponent * (amount - flux / ion.diffusivity * integral))
    return _charged(cell, sp.nsimplify(power) * sp.log(stretch), tuple(c))
