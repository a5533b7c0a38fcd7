"""The dissipation law."""

from __future__ import annotations

from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.switching import SAID, energies, largest_rise, switched_cells

LIMIT = 1e-6  # of all that the energy changes: what the integration in time is off by


def measure(bench: Bench) -> Found:
    """Largest rises of the free energy, alone and less the work of the electrodes."""
    found: Found = {"alone": {}, "less_work": {}, "balance": [], "time": [], "energies": {}}
    for run in switched_cells():
        parts = energies(run)
        alone = parts["ideal"] + parts["field"]
        whole = alone - parts["work"]
        found["alone"].setdefault(run.kind, []).append(largest_rise(alone))
        found["less_work"].setdefault(run.kind, []).append(largest_rise(whole))
        off = abs(run.result["energy_balance"]).max() / run.result["dissipated_energy"][-1]
        found["balance"].append(float(off))
        found["time"] = (run.result["time"] / run.result["time"][-1]).values
        if run.kind == "switched on":
            share = (whole - whole[-1]) / (whole[0] - whole[-1])
            found["energies"][run.name] = share.round(5)
    return found


def judge(found: Found) -> Verdict:
    """Holds where nothing rises; corrected where only the work of electrodes was left out."""
    if max(*_all(found["less_work"]), *found["balance"]) > LIMIT:
        return fails("the free energy rises, or falls by something else than is dissipated")
    if max(found["alone"]["released"]) > LIMIT:
        return fails("the free energy rises between grounded electrodes")
    if max(found["alone"]["switched on"]) > LIMIT:
        return corrected(
            "electrodes that are held at their potentials do work: what falls is the free energy "
            "less potential times charge of the electrodes"
        )
    return holds()


def say(found: Found) -> str:
    """The largest rises."""
    return (
        f"largest rise over all change: {max(_all(found['less_work'])):.0e} less the electrodes' "
        f"work, without it {max(found['alone']['released']):.0e} at grounded electrodes and "
        f"{max(found['alone']['switched on']):.2g} at charged ones; what is lost equals what is "
        f"dissipated to {max(found['balance']):.0e}"
    )


def draw(found: Found) -> Figure:
    """What is still to be lost, over time."""
    lines = {name: values[1:] for name, values in found["energies"].items()}
    return lines_figure(
        found["time"][1:], lines, ("time / last time", "free energy above its end, over the start"),
        log=True, mark=0.0, title="free energy less the electrodes' work",
    )  # fmt: skip


def _all(rises: dict[str, list[float]]) -> list[float]:
    return [rise for kind in rises.values() for rise in kind]


CLAIM = Claim(
    statement="Between walls that nothing passes the free energy of ions and field never rises in "
    "time.",
    source="PMR Sec. 3.2; App. D, Definition 1",
    protocol=f"{SAID}; the free energy (ideal part and energy of the field, counted once) is "
    "computed from the profiles, with and without the work of the electrodes, and its loss "
    "compared with what the moving ions dissipate.",
    threshold=f"no rise above {LIMIT:g} of the whole change, and loss equal to dissipation to "
    f"{LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
