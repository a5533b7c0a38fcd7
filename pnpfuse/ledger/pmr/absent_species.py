"""The steady state without one of the species."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import xarray as xr

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.wording import listed
from pnpfuse_solvers import Cell, solve_equilibrium, solve_transient

LENGTHS, VOLTAGES = (0.5, 4.0, 30.0), (1.0, 5.0)
TRACES = (1e-2, 1e-4, 1e-6)  # of the anions, over the cations
RESIDUAL, SAME = 1e-10, 1e-3
SETTLED = 20.0  # l^2/D


def measure(bench: Bench) -> Found:
    """The cell of cations alone beside those with traces of anions, and beside its end in time."""
    found: Found = {"residual": [], "mass": [], "traces": [], "in_time": []}
    for length, voltage in product(LENGTHS, VOLTAGES):
        both = Cell.dimensionless(length, voltage)
        cation, anion = both.ions
        alone = both.replace(ions=(cation,))
        one = solve_equilibrium(alone, throw=False)
        found["residual"].append(float(one["residual"]))
        found["mass"].append(float(one["mass_error"]))
        near = [dataclasses.replace(anion, concentration=t * anion.concentration) for t in TRACES]
        others = [solve_equilibrium(both.replace(ions=(cation, trace))) for trace in near]
        found["traces"].append([_apart(one, other) for other in others])
        last = SETTLED * alone.length**2 / cation.diffusivity
        run = solve_transient(alone, [last], nodes=401)
        found["in_time"].append(_apart(one, run.isel(time=-1)))
    return found


def _apart(one: xr.Dataset, other: xr.Dataset) -> float:
    """Largest difference of an electrode's charge over the larger of both."""
    here, there = (
        run["electrode_charge" if "electrode_charge" in run else "surface_charge"].values
        for run in (one, other)
    )
    return float(np.abs(here - there).max() / np.abs(here).max())


def judge(found: Found) -> Verdict:
    """Holds where there is one state, reached from traces and in time."""
    if max(*found["residual"], *found["mass"]) > RESIDUAL:
        return fails("a cell without anions has no solution")
    if max(row[-1] for row in found["traces"]) > SAME:
        return fails("it is not what a cell with few anions tends to")
    if max(found["in_time"]) > SAME:
        return fails("it is not where the ions come to rest")
    return holds()


def say(found: Found) -> str:
    """Residual and distances."""
    each = ", ".join(
        f"{max(row[i] for row in found['traces']):.0e}" for i in range(len(TRACES))
    )  # fmt: skip
    traces = ", ".join(f"{trace:g}" for trace in TRACES)
    return (
        f"cations alone: residual at most {max(found['residual']):.0e}; cells with {traces} of "
        f"anions are {each} away (charge of an electrode), the end in time "
        f"{max(found['in_time']):.0e}; there is no interface, and the electrodes carry the "
        "counter-charge"
    )


CLAIM = Claim(
    statement="Mass conservation gives a well-defined steady state even where one species is "
    "absent.",
    source="PMR App. E.3, claim 2",
    protocol=f"Closed cells of cations alone, {listed(LENGTHS)} Debye lengths (of the salt) at "
    f"plus and minus {listed(VOLTAGES)} kB T/e, beside cells with {listed(TRACES)} as many "
    f"anions, and beside the end of a run in time ({SETTLED:g} l^2/D from an even spread).",
    threshold=f"residual and loss of mass below {RESIDUAL:g}; the fewest anions and the end in "
    f"time have the electrodes' charges to {SAME:g}",
    measure=measure,
    judge=judge,
    say=say,
)
