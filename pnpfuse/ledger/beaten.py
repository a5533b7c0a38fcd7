"""A model beside several others, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found, Verdict, fails, holds
from pnpfuse.ledger.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

ALL_BEATEN = f"the {INTERVAL} of the paired difference to each of the others lies above 0"

Scores = Callable[[Bench, Training], NDArray[np.float64]]


def beside(
    bench: Bench, name: str, one: Training, others: Mapping[str, Training], scores: Scores
) -> Found:
    """Scores in percent (seeds,) of one and of the others, and the differences."""
    ours = scores(bench, one)
    theirs = {other: scores(bench, training) for other, training in others.items()}
    return {
        "name": name,
        "one": ours,
        "others": theirs,
        "score": bench.score.replace("_", " "),
        "differences": {other: interval(ours - s, bench.step) for other, s in theirs.items()},
    }


def judge_all(found: Found) -> Verdict:
    """Holds where it is above each of the others beyond the spread."""
    differences = found["differences"]
    level = [other for other, one in differences.items() if one["low"] <= 0 <= one["high"]]
    above = [other for other, one in differences.items() if one["high"] < 0]
    said = [f"{found['name']} is worse than {', '.join(above)}"] if above else []
    if level:
        said.append(f"no difference to {', '.join(level)} beyond the spread over seeds")
    return fails("; ".join(said)) if said else holds()


def say_all(found: Found) -> str:
    """The scores, and the differences with their intervals."""
    said = "; ".join(
        f"{other} {spread(np.array(scores))} %, difference "
        f"{said_interval(found['differences'][other])}"
        for other, scores in found["others"].items()
    )
    return f"{found['name']} {spread(np.array(found['one']))} %; {said}"


def draw_all(found: Found) -> Figure:
    """Differences with their intervals."""
    differences = found["differences"]
    figure = blank_figure(5, 1.4 + 0.4 * len(differences))
    axes = figure.subplots()
    for place, one in enumerate(differences.values()):
        axes.plot([one["low"], one["high"]], [place, place], "-", color="tab:blue")
        axes.plot(one["mean"], place, "o", color="tab:blue")
    axes.axvline(0, color="0.6", lw=1)
    axes.set_yticks(range(len(differences)), list(differences))
    axes.invert_yaxis()
    axes.set_xlabel(f"{found['name']} less each, test {found['score']} / points")
    axes.set_title(INTERVAL, fontsize="medium")
    return figure
