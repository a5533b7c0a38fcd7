"""What is read off states of moving ions: energies, charges and certificates, many at once."""

from __future__ import annotations

import dataclasses

import numpy as np

from pnpfuse_solvers import transport
from pnpfuse_solvers.compiled import jit
from pnpfuse_solvers.elimination import System
from pnpfuse_solvers.grid import Array

_jit = jit(error_model="numpy")


@dataclasses.dataclass(frozen=True)
class Ledger:
    """P states, in units in which kB T, the length and the clock's time are 1."""

    log_c: Array  # (P, S, N)
    energy: Array  # (P,) free energy less the work of the electrodes
    dissipation: Array  # (P,) free energy lost per time
    charge: Array  # (P, 2) of the electrodes
    residual: float  # the worst of the states, as all that follows (see `Solution`)
    resolution: float
    mass_error: float
    smallest: float  # concentration


def ledger(u: Array, c: Array, v: Array, amount: Array, system: System) -> Ledger:
    """Read off states ``u`` (P, N), ``c`` (P, S, N) between electrodes at ``v`` (P, 2)."""
    log_c = np.maximum(c, np.finfo(float).tiny)
    np.log(log_c, out=log_c)
    flux = np.empty((*c.shape[:2], c.shape[2] - 1))
    transport.fluxes_of(u, c, system.h, system.z, system.d, flux)
    out = np.empty((8, len(u)))
    audit(u, c, log_c, flux, np.broadcast_to(v, (len(u), 2)).copy(), amount, system, out)
    worst = out[4:7].max(axis=1, initial=0.0)
    return Ledger(
        log_c, out[0], out[1], out[2:4].T, float(worst[0]), float(worst[1]), float(worst[2]),
        float(out[7].min(initial=np.inf)),
    )  # fmt: skip


@_jit
def audit(u, c, log_c, flux, v, amount, system, out):
    """Fill ``out`` (8, P): energy, dissipation, charges, residual, resolution, mass error, min c.

    The dissipation is flux times drop of the chemical potential, never negative on any edge.
    """
    a, h, w, f, r, z, _d = system
    n, species = w.size, z.size
    last = n - 1
    charge = np.empty(n)
    capacitance = 1.0 / (1.0 / a).sum()
    ions, total = np.abs(f) @ w, f @ w
    for s in range(species):
        ions += abs(z[s]) * amount[s]
        total += z[s] * amount[s]
    for j in range(u.shape[0]):
        charge[:] = f
        energy, lost, mass_error, resolution = 0.0, 0.0, 0.0, 0.0
        smallest = np.inf
        for s in range(species):
            reference = np.log(amount[s]) + 1.0
            mass = 0.0
            for i in range(n):
                here = w[i] * c[j, s, i]
                mass += here
                energy += here * (log_c[j, s, i] - reference)
                charge[i] += z[s] * c[j, s, i]
                smallest = min(smallest, c[j, s, i])
            for i in range(last):
                jump = u[j, i + 1] - u[j, i]
                lost -= flux[j, s, i] * (log_c[j, s, i + 1] - log_c[j, s, i] + z[s] * jump)
                if (c[j, s, i] + c[j, s, i + 1]) * h[i] > 2e-3 * mass:
                    resolution = max(resolution, abs(z[s] * jump))
            mass_error = max(mass_error, abs(mass / amount[s] - 1.0))
        missing, largest, before, top = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            top = max(top, abs(u[j, i]))
            flow = 0.0
            if i < last:
                jump = u[j, i + 1] - u[j, i]
                flow = a[i] * jump
                energy += 0.5 * flow * jump
                largest = max(largest, abs(flow))
            if 0 < i < last:
                missing = max(missing, abs(w[i] * charge[i] + (flow - before)))
            before = flow
        # Both electrodes carry the counter-charge of the cell: what their common potential does is
        # known, and left out of the rounding of charges that are differences.
        common = 0.5 * (v[j, 0] + v[j, 1])
        energy += common * total
        for end in range(2):
            i, e = (0, 0) if end == 0 else (last, last - 1)
            inward = a[e] * (u[j, 1 if end == 0 else last - 1] - u[j, i])
            on_electrode = -inward - w[i] * charge[i]
            gap = v[j, end] - u[j, i]
            energy += 0.5 * r[end] * gap * gap - (v[j, end] - common) * on_electrode
            out[2 + end, j] = on_electrode
            if r[end] > 0.0:
                missing = max(missing, abs(r[end] * gap - on_electrode))
            screening = 0.0
            for s in range(species):
                screening += z[s] * z[s] * c[j, s, i]
            if abs(inward) > 1e-6 * a[e]:
                resolution = max(resolution, np.sqrt(screening * h[e] / a[e]))
        scale = max(largest, 1e-8 * ions, 1e-3 * top * capacitance)
        out[0, j], out[1, j] = energy, lost
        out[4, j], out[5, j] = missing / scale, resolution
        out[6, j], out[7, j] = mass_error, smallest
