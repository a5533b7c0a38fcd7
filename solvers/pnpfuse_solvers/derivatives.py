"""What is read off a perturbed state: charges, energy, fluxes, and the interface.

All arrays are complex, value + i STEP derivative, with K parameters along the first axis (see
``tangent``), so that ordinary formulas carry the derivatives along, extrapolation included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.parameters import STEP, Complex
from pnpfuse_solvers.tangent import Equations, exp, imbalance, log

# Width of the interface: from 10 % to 90 % of one kind of ions.
WIDTH_LEVEL = float(np.log(9.0))
_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(4)


@dataclasses.dataclass(frozen=True)
class Readings:
    """What converges smoothly with the mesh; nodal values at the nodes of the coarsest one."""

    x: Complex  # (K, N) [m]
    log_c: Complex  # (K, S, N)
    slope: Complex  # (K, S, N) of log_c [1/m]
    surface_charge: Complex  # (K, 2) [C/m^2]
    free_energy: Complex  # (K,) [J/m^2]
    flux: Complex  # (K, S) [1/(m^2 s)]
    current_density: Complex  # (K,) [A/m^2]


def read(
    cell: Cell, e: Equations, u: Complex, log_c: Complex, flow: Complex | None, stride: int
) -> Readings:
    """Read a state off: potential (K, N), concentrations (K, S, N), fluxes (K, S, N-1) if any."""
    k = cell.constants
    c = exp(log_c)
    missing = imbalance(e, u, c)
    electrodes = -missing[:, [0, -1]]
    # The displacement at a node: that of the edge before it, and the charge between.
    at_node = np.empty_like(missing)
    at_node[:, 0] = electrodes[:, 0]
    jump = e.a * np.diff(u)
    charge = e.w * (e.z[:, :, None] * c).sum(axis=1) + e.fixed
    at_node[:, 1:] = -jump + 0.5 * e.h * (charge / e.w)[:, 1:]
    slope_u = -(at_node / e.epsilon)[:, ::stride]
    slope = -e.z[:, :, None] * slope_u[:, None, :]
    flux = np.zeros(e.z.shape, complex)
    if flow is not None:
        flux = (flow * e.h[:, None, :]).sum(axis=2) / e.h.sum(axis=1)[:, None]
        slope = slope - (flux / e.d)[:, :, None] / c[:, :, ::stride]
    # Per k.permittivity volt^2 / length: ions, field, Stern layers, less the electrodes' work.
    energy = (e.w[:, None, :] * c * (log_c - log(e.reference)[:, :, None] - 1.0)).sum((1, 2))
    energy += 0.5 * (jump * np.diff(u)).sum(axis=1)
    energy += ((0.5 * e.stern * electrodes - e.v) * electrodes).sum(axis=1)
    per_volt = k.permittivity * e.volt / cell.length
    fastest = max(ion.diffusivity for ion in cell.ions)
    flux = flux * (fastest / (e.unit * cell.length))[:, None]
    return Readings(
        x=e.x[:, ::stride],
        log_c=log_c[:, :, ::stride],
        slope=slope / cell.length,
        surface_charge=per_volt[:, None] * electrodes,
        free_energy=per_volt * e.volt * energy,
        flux=flux,
        current_density=k.charge * (e.z * flux).sum(axis=1),
    )


def extrapolated(levels: Sequence[Readings]) -> list[Readings]:
    """Richardson's extrapolation over halved meshes: the best reading, and the one before it."""
    table, before = list(levels), []
    for power in range(1, len(levels)):
        factor = 4.0**power
        before = table[-1:]
        table = [
            Readings(
                *(
                    (factor * getattr(fine, name) - getattr(coarse, name)) / (factor - 1.0)
                    for name in (field.name for field in dataclasses.fields(Readings))
                )
            )
            for coarse, fine in zip(table[:-1], table[1:], strict=True)
        ]
    return table[-1:] + before


class Interface:
    """Where the two kinds of ions balance, by Hermite's cubics between the nodes.

    ``position`` (K,) is the balance nearest to where the solver found it; None where the
    extrapolated profiles do not balance.
    """

    def __init__(self, cell: Cell, readings: Readings, near: float):
        self.r = readings
        signs = np.array([np.sign(ion.valence) for ion in cell.ions])
        self.kinds = [signs > 0, signs < 0]
        self.signs = signs
        self.balance, self.slope = self._balance()
        self.rising = self.balance[0, -1].real > self.balance[0, 0].real
        self.near = near
        self.position = self._crossing(0.0)

    def _balance(self) -> tuple[Complex, Complex]:
        """ln(sum of cations / sum of anions) at the nodes (K, N), and its slope."""
        logs, slopes = [], []
        for kind in self.kinds:
            log_c = self.r.log_c[:, kind]
            top = log_c.real.max(axis=1, keepdims=True)
            share = exp(log_c - top)
            total = share.sum(axis=1)
            logs.append(top[:, 0] + log(total))
            slopes.append((share * self.r.slope[:, kind]).sum(axis=1) / total)
        return logs[0] - logs[1], slopes[0] - slopes[1]

    def _crossing(self, level: float, side: int = 0) -> Complex | None:
        """The crossing of ``level`` (K,) next to the interface; on its left for side -1."""
        near = self.near
        x, gap = self.r.x[0].real, self.balance[0].real - level
        edges = np.flatnonzero((gap[:-1] <= 0.0) != (gap[1:] <= 0.0))
        if side:
            edges = edges[np.sign(x[edges] + x[edges + 1] - 2.0 * near) == side]
        if edges.size == 0:
            return None
        i = int(edges[np.abs(x[edges] + x[edges + 1] - 2.0 * near).argmin()])
        width = x[i + 1] - x[i]
        left, right = (width * self.slope[0, i : i + 2].real).tolist()
        part = _root(float(gap[i]), left, float(gap[i + 1]), right)
        at = x[i] + part * width
        # The slope along x by a complex step of the position, of a row without perturbation.
        value = self._at(i, at).imag / STEP
        moved = self._at(i, at + 1j * STEP * width).imag / STEP
        slope = (moved - value) / width
        return at - 1j * STEP * value / slope

    def _at(self, i: int, at: complex) -> Complex:
        """The balance (K,) at a position in the edge i."""
        ends = slice(i, i + 2)
        return _hermite(self.r.x[:, ends], self.balance[:, ends], self.slope[:, ends], at)[:, 0, 0]

    def width(self) -> Complex:
        """Length (K,) over which one kind goes from 10 % to 90 %, cut at the electrodes."""
        sign = 1.0 if self.rising else -1.0
        first = self._crossing(-sign * WIDTH_LEVEL, -1)
        last = self._crossing(sign * WIDTH_LEVEL, 1)
        first = self.r.x[:, 0] if first is None else first
        return (self.r.x[:, -1] if last is None else last) - first

    def separation(self) -> Complex:
        """Share of each species on its own side (K, S); NaN for an uncharged one."""
        x, b = self.r.x, self.position
        assert b is not None
        edge = int(np.clip(np.searchsorted(x[0].real, b[0].real) - 1, 0, x.shape[1] - 2))
        share = np.full(self.r.log_c.shape[:2], np.nan, complex)
        for s, sign in enumerate(self.signs):
            if sign == 0.0:
                continue
            log_c, slope = self.r.log_c[:, s], self.r.slope[:, s]
            log_c = log_c - log_c.real.max()
            pieces = _integrals(x, log_c, slope, x[:, 1:])
            two = slice(edge, edge + 2)
            last = _integrals(x[:, two], log_c[:, two], slope[:, two], b[:, None])[:, 0]
            before, total = pieces[:, :edge].sum(axis=1) + last, pieces.sum(axis=1)
            share[:, s] = (total - before if (sign > 0) == self.rising else before) / total
        return share


def _root(first: float, left: float, last: float, right: float) -> float:
    """Where on [0, 1] Hermite's cubic of two values and slopes changes sign, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        t = 0.5 * (low + high)
        s = 1.0 - t
        value = s * s * ((1.0 + 2.0 * t) * first + t * left) + t * t * (
            (3.0 - 2.0 * t) * last - s * right
        )
        if (value <= 0.0) == (first <= 0.0):
            low = t
        else:
            high = t
    return 0.5 * (low + high)


def _integrals(x: Complex, log_c: Complex, slope: Complex, until: Complex) -> Complex:
    """Integral of c over each edge (K, N-1) from its left node to ``until``."""
    half = 0.5 * (until - x[:, :-1])
    at = x[:, :-1, None] + half[:, :, None] * (1.0 + _GAUSS_X)
    return half * (exp(_hermite(x, log_c, slope, at)) @ _GAUSS_W)


def _hermite(x: Complex, values: Complex, slopes: Complex, at: complex | Complex) -> Complex:
    """Cubics on the edges (K, N-1, M) at the positions ``at`` (one, or (K, N-1, M))."""
    h = np.diff(x)[:, :, None]
    t = (at - x[:, :-1, None]) / h
    rest = 1.0 - t
    first, left = values[:, :-1, None], h * slopes[:, :-1, None]
    last, right = values[:, 1:, None], h * slopes[:, 1:, None]
    return rest * rest * ((1.0 + 2.0 * t) * first + t * left) + t * t * (
        (3.0 - 2.0 * t) * last - rest * right
    )
