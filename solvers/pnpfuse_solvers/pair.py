"""Closed cells of two species, ``shared`` (+1) and ``specific`` (-r), with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from pnpfuse_solvers import batch, implicit, interface
from pnpfuse_solvers.batch import Batch, Equilibria
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.outcome import Outcome

POSITION, SHARED, SPECIFIC, WIDTH = range(4)  # columns of `Pairs.interfaces`
# Weights of Richardson's extrapolation over halved meshes, by the order of accuracy.
WEIGHTS = {
    4: np.array([-1.0, 4.0]) / 3.0,
    6: np.array([1.0, -20.0, 64.0]) / 45.0,
}
# Cells solved at a time by one thread: their profiles stay in the cache.
CHUNK = 128
# Changes of potential, slope and bend, and of the logarithms of the normalisations.
Changes = tuple[tuple[Array, Array, Array], Array]


class Pairs:
    """Solved cells of two species; what is asked of them comes with its changes with (L, U, r).

    Mean densities are 1 and 1/r, valences 1 and -r, electrodes at -U (x = 0) and +U, the length is
    L Debye lengths and 1: the first species gathers at x = 0. Nothing is linearised before a change
    is asked for; then it is once.

    Parameters
    ----------
    length_ratio, voltage, charge_ratio : arrays (C,)
        L, U, r; positive and finite.
    nodes, tol, order
        As in `solve_equilibrium`; order 4 or 6.

    Attributes
    ----------
    outcome : list of Outcome (C,)
        A cell that did not converge has NaN for values and 0 for changes.
    reason : list of str (C,)
        Why there is no interface; '' where there is one.
    uncertainty : array (C,)
        Of the interface, as a share of the length; NaN where nothing crosses.
    """

    def __init__(
        self, length_ratio: Array, voltage: Array, charge_ratio: Array, *,
        nodes: int = 401, tol: float = 1e-10, order: int = 6,
    ):  # fmt: skip
        self.length, self.voltage, self.charge = length_ratio, voltage, charge_ratio
        self._weights = WEIGHTS[order]
        self._kept: Changes | None = None
        count = length_ratio.size
        self._x, self._u, self._slope = np.full((3, count, nodes), np.nan)
        self._mass = np.full((count, 2), np.nan)  # ln int exp(-z u) dx
        self._code = np.full(count, interface.NOT_FINITE)
        self._split, self.uncertainty = np.full((2, count), np.nan)
        self.outcome = [Outcome.OUT_OF_RANGE] * count
        self.reason = [""] * count
        with np.errstate(all="ignore"):  # extreme cells fail, and say so
            whole = _batch(length_ratio, voltage, charge_ratio)
        _in_parts(
            lambda part: self._put(part, batch.solve(whole.rows(part), nodes, tol, order), order),
            count,
        )
        self._bend = implicit.bends_each(self._u, self._mass, self.length, self.charge)

    def _put(self, part: slice, found: Equilibria, order: int) -> None:
        with np.errstate(all="ignore"):
            b, u = found.batch, found.u
            self.outcome[part] = outcome = found.outcomes(order)
            ok = np.array([one.ok for one in outcome])
            # Either species is densest at its electrode.
            ends = found.c[:, [0, 1], [0, -1]], u[:, [0, -1]]
            mass = np.log(b.amount / ends[0]) - b.z * ends[1] + np.log1p(found.excess)
        ok &= np.isfinite(mass).all(axis=1)
        self._x[part], self._u[part], self._slope[part] = found.x, u, found.slope
        self._mass[part] = np.where(ok[:, None], mass, np.nan)
        self._code[part] = found.reason
        self.uncertainty[part], self._split[part] = found.interface[:, [1, 3]].T
        for k in np.flatnonzero(~ok | (found.reason != interface.FOUND)):
            if outcome[k].ok and not ok[k]:
                self.outcome[part.start + int(k)] = Outcome.NOT_FINITE
            final = self.outcome[part.start + int(k)]
            self.reason[part.start + int(k)] = found.why(int(k)) if final.ok else final.message

    def interfaces(self) -> Array:
        """Return (C, 4): interface, share of either species on its own side of it, width.

        Lengths are shares of the cell. Where the interface is not determined but lies within a
        stretch, position and width are NaN and the cell is split in the middle of the stretch.
        """
        return self._readings(slice(None), self._none)[0]

    def interface_changes(self) -> Array:
        """Return (C, 4, 3): changes of `interfaces` with L, U and r; 0 where those are NaN."""
        out = np.empty((self.length.size, 4, 3))

        def work(part: slice) -> None:
            out[part] = self._readings(part, self._changes(part))[1]

        _in_parts(work, self.length.size)
        return out

    def balance(self, at: Array) -> Array:
        """Return ln of shared over specific density (C, P) at positions (C, P) on [0, 1]."""
        return implicit.balances_each(*self._rows(slice(None)), *self._none, at)[0]

    def balance_changes(self, at: Array) -> tuple[Array, Array]:
        """Return changes of `balance` with L, U, r (C, 3, P), and with the positions (C, P)."""
        slopes, out = np.empty(at.shape), np.empty((at.shape[0], 3, at.shape[1]))

        def work(part: slice) -> None:
            rows, changes = self._rows(part), self._changes(part)
            _, slopes[part], out[part] = implicit.balances_each(*rows, *changes, at[part])

        _in_parts(work, self.length.size)
        return out, slopes

    def _readings(self, part: slice, changes: Changes) -> tuple[Array, Array]:
        return implicit.readings_each(
            *self._rows(part), self._code[part], self._split[part], *changes
        )

    def _rows(self, part: slice) -> tuple[Array, ...]:
        whole = (self._x, self._u, self._slope, self._bend, self._mass, self.charge)
        return tuple(one[part] for one in whole)

    @property
    def _none(self) -> Changes:
        """Changes with no parameters."""
        count, nodes = self._u.shape
        none = np.empty((count, 0, nodes))
        return (none, none, none), np.empty((count, 2, 0))

    def _changes(self, part: slice) -> Changes:
        """Changes with L, U, r of u, u', u'' (C, 3, N) and of ``_mass`` (C, 2, 3); few are kept."""
        if self._kept is not None:
            return self._kept
        x, u, slope, bend, mass, charge = self._rows(part)
        found = implicit.tangents_each(
            x, u, slope, bend, mass, self.length[part], charge, self._weights
        )
        if self.length.size <= CHUNK:
            self._kept = found
        return found


def _batch(length: Array, voltage: Array, charge: Array) -> Batch:
    one = np.ones(length.size)
    amount = length**2 / (1.0 + charge)  # e^2 l^2 c / (eps kB T), lambda_D counting both species
    return Batch(
        length=one,
        unit=one,
        volt=one,
        eps=one,
        fixed=0.0 * one,
        r=np.zeros((length.size, 2)),
        v=np.stack([-voltage, voltage], axis=1),
        z=np.stack([one, -charge], axis=1),
        amount=np.stack([amount, amount / charge], axis=1),
        closed=True,
    )


def _in_parts(work: Callable[[slice], None], count: int) -> None:
    """Call ``work`` for slices of the cells, in threads where there are several slices."""
    parts = [slice(k, min(k + CHUNK, count)) for k in range(0, count, CHUNK)]
    if len(parts) < 2:
        for part in parts:
            work(part)
        return
    # Not get_num_threads, which starts Numba's own threads; with OpenMP that sets torch's too.
    threads = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass
