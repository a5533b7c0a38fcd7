"""One training beside several others, seed by seed: it has to be better than each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found, Verdict, fails, holds
from pnpfuse.ledger.paired import INTERVAL, differ, said_interval
from pnpfuse.ledger.training import Training

BEST = f"the {INTERVAL} of every one of the paired differences lies above 0"


def differ_each(bench: Bench, one: Training, name: str, others: Mapping[str, Training]) -> Found:
    """{name of the other: as `differ`}."""
    return {"each": {k: differ(bench, one, other, (name, k)) for k, other in others.items()}}


def judge_best(found: Found) -> Verdict:
    """Holds where the one is better than each of the others beyond the spread."""
    one = next(iter(found["each"].values()))["names"][0]
    others = {k: two["difference"] for k, two in found["each"].items()}
    if all(difference["low"] > 0 for difference in others.values()):
        return holds()
    if worse := [k for k, difference in others.items() if difference["high"] < 0]:
        return fails(f"{one} is worse than {', '.join(worse)}")
    level = [k for k, difference in others.items() if difference["low"] <= 0]
    return fails(f"{one} is no better than {', '.join(level)} beyond the spread over seeds")


def say_each(found: Found) -> str:
    """The one's score, and those of the others with the difference to it."""
    first = next(iter(found["each"].values()))
    others = [
        f"{k} {spread(np.array(two['other']))} %, {said_interval(two['difference'])} points"
        for k, two in found["each"].items()
    ]
    return f"{first['names'][0]} {spread(np.array(first['one']))} %; {'; '.join(others)}"


def draw_each(found: Found) -> Figure:
    """The differences with their intervals."""
    figure = blank_figure(4.5, 1.2 + 0.5 * len(found["each"]))
    axes = figure.subplots()
    for row, two in enumerate(found["each"].values()):
        of = two["difference"]
        axes.errorbar(of["mean"], row, xerr=[[of["mean"] - of["low"]], [of["high"] - of["mean"]]],
                      fmt="o", color="tab:blue", capsize=3)  # fmt: skip
    axes.axvline(0, color="black", linestyle="--")
    axes.set_yticks(range(len(found["each"])), list(found["each"]))
    first = next(iter(found["each"].values()))
    axes.set_xlabel(f"{first['names'][0]} above it: test {first['score']} / points")
    return figure
