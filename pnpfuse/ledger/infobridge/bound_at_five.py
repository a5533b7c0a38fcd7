"""The bound at the paper's own number of negatives."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import information, right_bound
from pnpfuse.ledger.measures.paired import INTERVAL, interval

PAPER, MORE = 5.0, 64.0
INFORMATION = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0)  # nats
ROWS, SETS = 10_000, 8


def measure(bench: Bench) -> Found:
    """The bound at both ratios over the information that there is."""
    rho = [math.sqrt(1 - math.exp(-2 * nats)) for nats in INFORMATION]
    return {
        "information": [information([r]) for r in rho],
        "paper": [interval(right_bound(r, PAPER, ROWS, SETS)) for r in rho],
        "more": [interval(right_bound(r, MORE, ROWS, SETS)) for r in rho],
    }


def judge(found: Found) -> Verdict:
    """Holds where the bound says more than what is always true, that information is not below 0."""
    silent = _silent(found, "paper")
    if not silent:
        return holds()
    said = (
        f"with {PAPER:g} nothing is seen of information up to {max(silent):.2f} nats, and "
        f"never more than {math.log(PAPER):.2f}"
    )
    if not _silent(found, "more"):
        return corrected(f"with N0/N1 = {MORE:g}; {said}")
    return fails(said)


def _silent(found: Found, name: str) -> list[float]:
    """Information of which the bound is not above 0."""
    return [n for n, one in zip(found["information"], found[name], strict=True)
            if not one["low"] > 0]  # fmt: skip


def say(found: Found) -> str:
    """What both see of each."""
    each = [
        f"{n:.2f}: {a['mean']:.2f} ({b['mean']:.2f})"
        for n, a, b in zip(found["information"], found["paper"], found["more"], strict=True)
    ]
    return f"information: bound at N0/N1 = {PAPER:g} (at {MORE:g}), nats: {', '.join(each)}"


def draw(found: Found) -> Figure:
    """The bounds over the information."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    nats = np.array(found["information"])
    axes.plot(nats, nats, "--", color="black", label="information")
    for name, ratio in (("paper", PAPER), ("more", MORE)):
        means = [one["mean"] for one in found[name]]
        axes.plot(nats, means, "o-", label=f"bound, N0/N1 = {ratio:g}")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("information / nat")
    axes.set_ylabel("bound / nat")
    axes.legend(fontsize="small")
    return figure


CLAIM = Claim(
    statement=f"The bound ties what is trained, with {PAPER:g} negatives for a positive, to the "
    "conditional information.",
    source="InfoBridge Sec. 3, Eqs. (5) and (8), Sec. 4.1",
    protocol=f"Gaussian pairs that share {INFORMATION} nats, with their own posterior and the "
    f"margin log(N0/N1) that follows from Eq. (4), at N0/N1 = {PAPER:g} and {MORE:g}; {SETS} sets "
    f"of {ROWS} pairs.",
    threshold=f"the {INTERVAL.replace('seeds', 'sets')} of the bound above 0, which bounds any "
    "information, for each of them",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
