"""The functional of Definition 1 as it is printed."""

from __future__ import annotations

from matplotlib.figure import Figure

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.cell_figures import lines_figure
from pnpfuse.ledger.measures.switching import SAID, energies, largest_rise, switched_cells
from pnpfuse.ledger.measures.wording import span

LIMIT = 1e-6  # of all that the energy changes: what the integration in time is off by


def measure(bench: Bench) -> Found:
    """Rises of the printed and the correct functional; how often the print counts the field."""
    found: Found = {"printed": [], "correct": [], "counts": [], "time": [], "energies": {}}
    for run in switched_cells():
        parts = energies(run)
        printed = parts["ideal"] + parts["field"] + parts["coupling"]
        found["printed"].append(largest_rise(printed))
        correct = parts["ideal"] + parts["field"] - parts["work"]
        found["correct"].append(largest_rise(correct))
        if run.kind == "released":
            found["counts"].append(1 + float(parts["coupling"][0] / parts["field"][0]))
        found["time"] = (run.result["time"] / run.result["time"][-1]).values
        if run.kind == "switched on":
            change = (printed - printed[0]) / abs(printed).max()
            found["energies"][run.name] = change.round(5)
    return found


def judge(found: Found) -> Verdict:
    """Holds where the printed one never rises; corrected where the other does not."""
    if max(found["printed"]) <= LIMIT:
        return holds()
    if max(found["correct"]) > LIMIT:
        return fails("neither the printed functional nor the one with the field counted once falls")
    return corrected(
        f"the energy of the ions' field is counted {found['counts'][0]:.3g} times; counted once, "
        "and less the work of the electrodes, the functional falls"
    )


def say(found: Found) -> str:
    """How far the printed one rises, and what it counts."""
    rising = sum(rise > LIMIT for rise in found["printed"])
    counts = found["counts"]
    return (
        f"the printed functional rises in {rising} of {len(found['printed'])} runs, by up to "
        f"{max(found['printed']):.0%} of all its change (the correct one by at most "
        f"{max(found['correct']):.0e}); at grounded electrodes it holds the field's energy "
        f"{span(counts, '.4g')} times"
    )


def draw(found: Found) -> Figure:
    """The printed functional over time."""
    lines = {name: values[1:] for name, values in found["energies"].items()}
    return lines_figure(
        found["time"][1:], lines, ("time / last time", "change over the largest value"), log=True,
        title="the functional of Definition 1 as printed",
    )  # fmt: skip


CLAIM = Claim(
    statement="The free energy of ions and field, with the energy of the ions in the potential "
    "added, is a Lyapunov function of the Poisson-Nernst-Planck equations.",
    source="PMR App. D, Definition 1",
    protocol=f"{SAID}; the printed functional (ideal part, energy of the field, and charge times "
    "potential) is computed from the profiles, beside the one that counts the field once and "
    "takes off the work of the electrodes. At grounded electrodes charge times potential is the "
    "field's energy over again; how often the sum holds it is counted there.",
    threshold=f"no rise above {LIMIT:g} of the whole change",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
