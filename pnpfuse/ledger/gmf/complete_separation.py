"""GMF's ideal electrolysis: no foreign ions beyond the boundary."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_solvers import Cell, solve_many

LENGTHS = (0.118338, 4.0, 10.0, 30.0)
VOLTAGES = (0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0)
ROUNDING = 1e-12
DIVIDED = 1e-3  # share of foreign ions that counts as completely divided


def measure(bench: Bench) -> Found:
    """The share of ions beyond the middle of the cell that belong on the other side."""
    voltages = VOLTAGES[::2] if bench.quick else VOLTAGES
    solved = solve_many(
        Cell.dimensionless(1, 1), {"length_ratio": list(LENGTHS), "voltage": list(voltages)}
    )
    foreign = 1 - solved["separation"].min("species").transpose("length_ratio", "voltage")
    return {"lengths": LENGTHS, "voltages": voltages, "foreign": foreign.values}


def judge(found: Found) -> Verdict:
    """Holds where foreign ions vanish with the voltage and never do at a finite one."""
    foreign = np.array(found["foreign"], dtype=float)
    if (np.diff(foreign, axis=1) > ROUNDING).any():
        return fails("a higher voltage leaves more foreign ions in some cell")
    if foreign[:, -1].max() > DIVIDED:
        return fails(f"at the highest voltage {foreign[:, -1].max():.1%} are left in some cell")
    if foreign[:, 0].min() < DIVIDED:
        return fails("the ions are completely divided at the lowest voltage already")
    return holds()


def say(found: Found) -> str:
    """What is left at the ends, and the voltage that it takes."""
    said = []
    for length, row in zip(found["lengths"], found["foreign"], strict=True):
        along = zip(found["voltages"], row, strict=True)
        enough = next((f"from {v:g} on" for v, f in along if f < DIVIDED), "nowhere")
        said.append(f"{row[0]:.0%} at {length:.3g} λ_D, below {DIVIDED:.1%} {enough}")
    return f"foreign ions at ±{found['voltages'][0]:g} kB T/e: {'; '.join(said)}"


def draw(found: Found) -> Figure:
    """Foreign ions over the voltage, a line a length."""
    figure = blank_figure(4.8, 3.4)
    axes = figure.subplots()
    for length, row in zip(found["lengths"], found["foreign"], strict=True):
        share = np.maximum(np.array(row, dtype=float), 1e-12)
        axes.semilogy(found["voltages"], share, "o-", ms=3, label=f"{length:.3g} λ_D")
    axes.axhline(DIVIDED, color="0.4", lw=0.8, ls="--")
    axes.set_xlabel("electrodes at ± kB T/e")
    axes.set_ylabel("share of foreign ions")
    axes.legend(fontsize="small", title="length")
    return figure


CLAIM = Claim(
    statement="In the ideal electrolysis the foreign ions are completely divided at the boundary; "
    "a practical cell comes near it.",
    source="GMF App. B, Fig. 6",
    protocol=f"Closed 1:1 cells at l/lambda_D of {LENGTHS} and electrodes at plus and minus "
    f"{VOLTAGES[0]:g} to {VOLTAGES[-1]:g} kB T/e; the share of a kind that lies on the other "
    "kind's side of b.",
    threshold=f"holds if that share falls with every voltage, from above {DIVIDED:g} to below it, "
    "at every length",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
