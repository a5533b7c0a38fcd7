"""The voltage of the electrodes over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pnpfuse_solvers.arguments import finite_number
from pnpfuse_solvers.cell import Cell
from pnpfuse_solvers.grid import Array

Voltage = Callable[[float], Sequence[float]]
# A program is looked at this often; steps are at most this share of the whole time.
SAMPLES, SHARES = 2049, 200


class Program:
    """Electrode potentials over time, in kB T/e, with the jumps among them.

    Parameters
    ----------
    cell : Cell
        Its potential is applied from t = 0 on where ``potential`` is None.
    potential : callable or None
        t [s] -> (left, right) [V].
    times : array (T,)
        When results are wanted [s].

    Attributes
    ----------
    moves : bool
        Whether there is a program.
    jumps : list of (float, float)
        Times [s] just before and just after each jump.
    """

    def __init__(self, cell: Cell, potential: Voltage | None, times: Array):
        if potential is not None and not callable(potential):
            raise ValueError(f"potential: got {potential!r}; give a function of t [s], or None")
        self.moves = potential is not None
        self._potential = potential
        self._fixed = np.array(cell.potential) / cell.thermal_voltage
        self._volt = cell.thermal_voltage
        self.jumps: list[tuple[float, float]] = []
        self.largest = self._fixed
        if self.moves:
            samples = np.union1d(times, np.linspace(0.0, times[-1], SAMPLES))
            values = self.at(samples)
            self.largest = values[np.abs(values[:, 1] - values[:, 0]).argmax()]
            self.jumps = self._jumps(samples, values)

    def at(self, times: Array) -> Array:
        """Potentials (T, 2) in kB T/e at times [s]."""
        if not self.moves:
            return np.tile(self._fixed, (len(times), 1))
        return np.array([self._now(float(t)) for t in times]) / self._volt

    def _now(self, t: float) -> tuple[float, float]:
        assert self._potential is not None
        try:
            left, right = self._potential(t)
        except Exception as error:  # whatever a user's function raises
            raise ValueError(
                f"potential: the function failed at t = {t:g} s ({error!r:.60}); give one that "
                "returns (left, right) in V"
            ) from error
        name = f"potential at t = {t:g} s"
        return finite_number(name, left, "V"), finite_number(name, right, "V")

    def _jumps(self, samples: Array, values: Array) -> list[tuple[float, float]]:
        """Find jumps by halving: a difference that stays while its interval shrinks is one."""
        found = []
        differences = np.abs(np.diff(values, axis=0)).max(axis=1, initial=0.0)
        for i in np.flatnonzero(differences > 1e-3 * max(np.ptp(values), 1e-300)):
            low, high = samples[i], samples[i + 1]
            before, after = values[i], values[i + 1]
            for _ in range(36):
                middle = 0.5 * (low + high)
                there = self.at(np.array([middle]))[0]
                if np.abs(there - before).max() >= np.abs(after - there).max():
                    high, after = middle, there
                else:
                    low, before = middle, there
            if np.abs(after - before).max() > 0.3 * differences[i]:
                found.append((float(low), float(high)))
        return found
