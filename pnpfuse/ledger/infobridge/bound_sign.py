"""The margin of the bound as printed, and as it follows."""

from __future__ import annotations

from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import information, right_bound
from pnpfuse.ledger.measures.paired import INTERVAL, interval

RHO, RATIOS = 0.9, (0.25, 5.0, 64.0)
ROWS, SETS = 10_000, 8
FORMS = ("printed", "derived")


def measure(bench: Bench) -> Found:
    """Both forms with the right posterior, of fresh sets of pairs."""
    bounds = {
        form: [interval(right_bound(RHO, r, ROWS, SETS, form == "printed")) for r in RATIOS]
        for form in FORMS
    }
    return {"information": information([RHO]), "ratios": list(RATIOS), **bounds}


def judge(found: Found) -> Verdict:
    """A form is a bound where it lies above the information nowhere."""
    above = {
        form: [r for r, one in zip(found["ratios"], found[form], strict=True)
               if one["low"] > found["information"]]
        for form in FORMS
    }  # fmt: skip
    if not above["printed"]:
        return holds()
    where = ", ".join(f"{r:g}" for r in above["printed"])
    if not above["derived"]:
        lacking = found["information"] - found["printed"][-1]["mean"]
        return corrected(
            f"log(N0/N1) in place of log(N1/N0): the printed form lies above the information at "
            f"N0/N1 = {where}, and {lacking:.2f} nats below it at N0/N1 = {found['ratios'][-1]:g}"
        )
    return fails(f"above the information at N0/N1 = {where}, the other sign no better")


def say(found: Found) -> str:
    """Both forms at each ratio beside the truth."""
    each = [
        f"{r:g}: printed {p['mean']:.3f}, derived {d['mean']:.3f}"
        for r, p, d in zip(found["ratios"], found["printed"], found["derived"], strict=True)
    ]
    return f"truth {found['information']:.3f} nats; at N0/N1 = {'; '.join(each)}"


def draw(found: Found) -> Figure:
    """Both forms over the ratio."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    for form, mark in zip(FORMS, "vo", strict=True):
        label = f"{form}: log({'N1/N0' if form == 'printed' else 'N0/N1'}) + E log h"
        axes.plot(found["ratios"], [one["mean"] for one in found[form]], mark + "-", label=label)
    axes.axhline(found["information"], color="black", linestyle="--", label="information")
    axes.set_xscale("log")
    axes.set_xlabel("N0 / N1")
    axes.set_ylabel("value / nat")
    axes.legend(fontsize="small")
    return figure


CLAIM = Claim(
    statement="The conditional information is at least log(N1/N0) plus the mean log-posterior "
    "over true pairs.",
    source="InfoBridge Sec. 3, Eq. (5)",
    protocol=f"Gaussian pairs of correlation {RHO}, whose information and posterior are known; "
    f"the printed form, and log(N0/N1) plus the same mean as Eq. (4) gives it, at N0/N1 of "
    f"{RATIOS}, {SETS} sets of {ROWS} pairs.",
    threshold=f"a form is no bound where its {INTERVAL.replace('seeds', 'sets')} lies above the "
    "information",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
