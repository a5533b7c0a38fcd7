"""Table 1's weak modality that is as good as the strong one, read in two ways."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds, untried
from pnpfuse.ledger.measures.laziness_probes import SAID, alone, probed, ranked
from pnpfuse.ledger.measures.paired import NOT_LESS, interval, said_interval, seed_margin
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

READ = {"apart": "the other modalities missing", "beside": "with the others present"}


def trainings(bench: Bench) -> list[Training]:
    """SCOPE, and each modality alone."""
    return [WHOLE, *alone(bench).values()]


def measure(bench: Bench) -> Found:
    """Probes of the weakest and of the strongest modality in SCOPE, both readings."""
    order = ranked(bench)
    weak, strong = (probed(bench, WHOLE, m, beside=True) for m in (order[0], order[-1]))
    return {
        "weak": weak,
        "strong": strong,
        "names": [order[0], order[-1]],
        "score": bench.score.replace("_", " "),
        "step": bench.step,
        "difference": {
            name: interval(np.subtract(weak[name], strong[name]), bench.step) for name in READ
        },
    }


def judge(found: Found) -> Verdict:
    """Holds if the weak modality, read alone, is no worse than the strong one."""
    difference = found["difference"]
    margin = {name: seed_margin(found["strong"][name], found["step"]) for name in READ}
    level = {name: difference[name]["low"] >= -margin[name] for name in READ}
    if level["apart"]:
        return holds()
    if not difference["apart"]["high"] < 0:
        return untried("too few seeds to say that it is no worse")
    if level["beside"]:
        return fails(
            "alone it is worse; it is no worse only if read with the other modalities present, "
            "which refinement mixes in"
        )
    return fails("alone it is worse; that it is no worse beside the others cannot be said either")


def say(found: Found) -> str:
    """Both readings."""
    weak, strong = found["names"]
    return "; ".join(
        f"{said}: {weak} {spread(np.array(found['weak'][name]))} %, {strong} "
        f"{spread(np.array(found['strong'][name]))} %, difference "
        f"{said_interval(found['difference'][name])}"
        for name, said in READ.items()
    )


def draw(found: Found) -> Figure:
    """Weak and strong modality, a line a seed, a panel a reading."""
    figure = blank_figure(7, 3.5)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, said) in zip(panels, READ.items(), strict=True):
        for pair in zip(found["weak"][name], found["strong"][name], strict=True):
            axes.plot([0, 1], pair, "o-", color="tab:blue", alpha=0.6)
        axes.set_xticks([0, 1], found["names"])
        axes.set_xlim(-0.4, 1.4)
        axes.set_title(said, fontsize="medium")
    panels[0].set_ylabel(f"probe in SCOPE, test {found['score']} / %")
    return figure


CLAIM = Claim(
    statement="With SCOPE the weak modality by itself comes up to the strong one, as images to "
    "text on MVSA.",
    source="SCOPE Table 1, Table 2",
    protocol="The refined features of the weakest and of the strongest modality in SCOPE, by the "
    f"score that each has alone: {SAID}. Beside it the same with the others present: the paper "
    "does not say how it reads a modality's own score.",
    threshold=f"read with the others missing, {NOT_LESS}",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
    trainings=trainings,
)
