"""States over time, and their extrapolation over two nested meshes."""

from __future__ import annotations

import dataclasses

import numpy as np

from pnpfuse_solvers.clock import Clock, charge_of
from pnpfuse_solvers.grid import Array


@dataclasses.dataclass(frozen=True)
class History:
    """What is known of the R times that were reached, in the units of ``Clock``."""

    u: Array  # (R, N)
    log_c: Array  # (R, S, N)
    displacement: Array  # (R, N) relative permittivity times -du/dx at the nodes
    charge: Array  # (R, 2) of the electrodes
    energy: Array  # (R,)
    dissipation: Array  # (R,)
    dissipated: Array  # (R,) since t = 0
    balance: Array  # (R,) change of the energy that nothing explains

    def concentrations(self, amount: Array, w: Array) -> Array:
        """Concentrations (R, S, N) whose trapezoidal sums are the amounts."""
        c = np.exp(self.log_c)  # (R, S, N)
        c *= (amount / (c @ w))[:, :, None]
        return c


def history(clock: Clock) -> History:
    """Read the states off a clock that has run."""
    p = clock.p
    u, states = clock.states()
    heat, shift = clock.booked[:, : clock.reached]
    flow = np.diff(u)
    flow *= -p.a
    half = 0.5 * np.diff(p.nodes)
    displacement = charge_of(clock.c[: clock.reached], p)  # from the middle of the edge to the node
    displacement[:, 1:] *= half
    displacement[:, 0] *= -half[0]
    displacement[:, 1:] += flow
    displacement[:, 0] += flow[:, 0]
    return History(
        u, states.log_c, displacement, states.charge, states.energy, states.dissipation, heat,
        states.energy - clock.origin + heat + shift,
    )  # fmt: skip


def extrapolated(fine: History, coarse: History, finest: bool) -> tuple[History, Array]:
    """Richardson's extrapolation over two meshes, the fine one with every interval halved.

    Scheme and energies have errors of the order h^2 on each interval; a third of what the second
    level changed is added, between the coarse nodes its linear interpolation, which leaves h^4.
    Logarithms of concentrations are extrapolated, so that these stay above 0.

    Parameters
    ----------
    fine, coarse : History
        ``fine`` is overwritten: arrays over time and space are large.
    finest : bool
        Report at the nodes of the fine mesh, else at those of the coarse one.

    Returns
    -------
    History, array (R,)
        And the largest change of u in kB T/e that the extrapolation made, by which the error of the
        fine mesh was estimated.
    """
    count = min(len(fine.u), len(coarse.u))
    values: dict[str, Array] = {}
    error = np.zeros(count)
    for field in dataclasses.fields(History):
        high, low = getattr(fine, field.name)[:count], getattr(coarse, field.name)[:count]
        nodal = field.name in ("u", "log_c", "displacement")
        at_coarse = high[..., ::2] if nodal else high
        change = at_coarse - low
        change /= 3.0
        if field.name == "u":
            error = np.maximum(change.max(axis=1), -change.min(axis=1))
        if nodal and finest:
            high[..., ::2] += change
            high[..., 1::2] += 0.5 * (change[..., :-1] + change[..., 1:])
            values[field.name] = high
        else:
            values[field.name] = at_coarse + change
    return History(**values), error
