"""What is read off states of moving ions: energies, charges and certificates, many at once."""

from __future__ import annotations

import dataclasses

import numpy as np

from pnpfuse_solvers import transport
from pnpfuse_solvers.elimination import System
from pnpfuse_solvers.grid import Array


@dataclasses.dataclass(frozen=True)
class Ledger:
    """Energies of P states, in units in which kB T, the length and the clock's time are 1."""

    log_c: Array  # (P, S, N)
    energy: Array  # (P,) free energy less the work of the electrodes
    dissipation: Array  # (P,) free energy lost per time
    charge: Array  # (P, 2) of the electrodes


def dissipation(u: Array, c: Array, log_c: Array, system: System) -> Array:
    """Flux times drop of chemical potential over the edges (P,), never negative."""
    z = system.z
    flux = np.empty((*c.shape[:2], c.shape[2] - 1))
    transport.fluxes_of(u, c, system.h, z, system.d, flux)
    du = np.diff(u)
    total = np.zeros(len(u))
    for s in range(z.size):
        drop = np.diff(log_c[:, s])
        drop += z[s] * du
        total -= np.einsum("pe,pe->p", flux[:, s], drop)
    return total


def electrode_charge(u: Array, c: Array, system: System) -> Array:
    """Charge (P, 2) by Gauss's law in the boxes at the ends."""
    a, w, f, z = system.a, system.w, system.f, system.z
    left = a[0] * (u[:, 0] - u[:, 1]) - w[0] * (c[:, :, 0] @ z + f[0])
    right = a[-1] * (u[:, -1] - u[:, -2]) - w[-1] * (c[:, :, -1] @ z + f[-1])
    return np.stack([left, right], axis=1)


def ledger(u: Array, c: Array, v: Array, amount: Array, system: System) -> Ledger:
    """Return the energies of states ``u`` (P, N), ``c`` (P, S, N) between electrodes at ``v``."""
    log_c = np.log(c)
    kinds = log_c - (np.log(amount)[:, None] + 1.0)
    ideal = np.einsum("psn,psn,n->p", kinds, c, system.w)
    du = np.diff(u)
    field = 0.5 * np.einsum("pe,pe,e->p", du, du, system.a)
    stern = 0.5 * ((u[:, [0, -1]] - v) ** 2 @ system.r)
    charge = electrode_charge(u, c, system)
    energy = ideal + field + stern - (charge * v).sum(axis=1)
    return Ledger(log_c, energy, dissipation(u, c, log_c, system), charge)


def residual(u: Array, c: Array, v: Array, amount: Array, system: System) -> float:
    """Largest violation of Gauss's law in a box over the largest displacement (see ``Solution``)."""
    a, w, f, r, z = system.a, system.w, system.f, system.r, system.z
    flow = a * np.diff(u)
    missing = np.tensordot(c, z, (1, 0))
    missing += f
    missing *= w
    missing[:, :-1] += flow
    missing[:, 1:] -= flow
    for end in (0, -1):
        missing[:, end] += r[end] * (v[:, end] - u[:, end])
        missing[:, end] *= r[end] > 0.0
    scale = np.maximum(np.abs(flow).max(axis=1), 1e-8 * (np.abs(z) @ amount + np.abs(f) @ w))
    scale = np.maximum(scale, 1e-3 * np.abs(u).max(axis=1) / (1.0 / a).sum())
    return float((np.abs(missing).max(axis=1) / scale).max())


def layer_resolution(u: Array, c: Array, system: System) -> float:
    """Coarseness of the mesh where ions are, the worst of P states (see ``Solution``)."""
    a, h, z = system.a, system.h, system.z
    jumps = np.abs(np.diff(u))
    worst = 0.0
    for end in (0, -1):
        screening = np.sqrt(c[:, :, end] @ z**2 * (h[end] / a[end]))
        worst = max(worst, float((screening * (jumps[:, end] > 1e-6)).max()))
    for s in range(z.size):
        piece = (c[:, s, :-1] + c[:, s, 1:]) * h
        there = piece > 1e-3 * piece.sum(axis=1, keepdims=True)
        worst = max(worst, float(abs(z[s]) * (jumps * there).max()))
    return worst
