"""GMF's remark that diffusion and electromigration always oppose each other."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient

LENGTH, VOLTAGE = 4.0, 5.0
TIMES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # l^2/D, after the electrodes are exchanged
BALANCE = 1e-3  # of the larger flux; differences between the solver's nodes
NODES = 101


def measure(bench: Bench) -> Found:
    """Both fluxes at rest, and after the electrodes of the same cell are exchanged."""
    cell = Cell.dimensionless(LENGTH, VOLTAGE)
    rest = solve_equilibrium(cell)
    diffusion, migration = _fluxes(rest, cell)
    left_over = float(np.abs(diffusion + migration).max() / np.abs(migration).max())
    span = cell.length**2 / cell.ions[0].diffusivity
    times = np.array([0.0, *TIMES]) * span
    exchanged = cell.at_voltage(-VOLTAGE)
    run = solve_transient(exchanged, times.tolist(), initial=rest, nodes=NODES)
    along = []
    for i in range(1, len(times)):
        diffusion, migration = _fluxes(run.isel(time=i), exchanged)
        along.append(float((diffusion * migration > 0).mean()))
    return {"left over": left_over, "times": TIMES, "along": along}


def _fluxes(state: xr.Dataset, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Diffusion and migration over D (S, N - 1), between the nodes."""
    x, u = state["x"].values, state["reduced_potential"].values
    z = np.array([ion.valence for ion in cell.ions])[:, None]
    c = state["concentration"].transpose("species", "x").values
    # The logarithmic mean: exact where c follows Boltzmann between two nodes.
    middle = np.diff(c) / np.where(np.diff(c) == 0, 1.0, np.diff(np.log(c)))
    return -np.diff(c) / np.diff(x), -z * middle * np.diff(u) / np.diff(x)


def judge(found: Found) -> Verdict:
    """Holds where the two oppose each other at all times; corrected where at rest alone."""
    if found["left over"] > BALANCE:
        return fails(f"even at rest {found['left over']:.1e} of the flux is left over")
    if max(found["along"]) == 0:
        return holds()
    return corrected("in the final state; on the way to it they may well act the same way")


def say(found: Found) -> str:
    """How far they cancel at rest, and where they act the same way before."""
    said = ", ".join(
        f"{share:.0%} at {time:g}"
        for time, share in zip(found["times"], found["along"], strict=True)
    )
    return (
        f"at rest they cancel to {found['left over']:.0e}; after the electrodes are exchanged "
        f"they act the same way in {said} l^2/D of the cell"
    )


CLAIM = Claim(
    statement="The fluxes of diffusion and of electromigration always have opposite signs.",
    source="GMF App. B, below Eq. 31",
    protocol=f"A closed 1:1 cell at l/lambda_D = {LENGTH:g} with electrodes at plus and minus "
    f"{VOLTAGE:g} kB T/e. Both fluxes are compared between all nodes at rest, and at {TIMES} "
    "l^2/D after the two electrodes have been exchanged.",
    threshold=f"holds if they cancel at rest to {BALANCE:g} and nowhere act the same way after; "
    "corrected if they cancel at rest",
    measure=measure,
    judge=judge,
    say=say,
)
