"""One training against several others, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

GAIN_EACH = (
    f"holds if the {INTERVAL} of the paired difference lies above 0 for each of them; "
    "corrected if for some of them, and below 0 for none"
)

Scores = Callable[[Bench, Training], NDArray[np.float64]]


def against(
    bench: Bench, ours: tuple[str, Training], others: Mapping[str, Training], score: Scores
) -> Found:
    """Scores in percent of one training and of others, and the differences seed by seed.

    Parameters
    ----------
    ours : what it is called, and the training
    others : {name: training}
    score : (bench, training) to percent (seeds,)
    """
    name, training = ours
    mine = score(bench, training)
    theirs = {other: score(bench, training) for other, training in others.items()}
    return {
        "name": name,
        "ours": mine.tolist(),
        "others": {other: values.tolist() for other, values in theirs.items()},
        "differences": {
            other: interval(mine - values, bench.step) for other, values in theirs.items()
        },
    }


def judge_each(found: Found) -> Verdict:
    """Holds where it is above all, corrected where above some and below none."""
    differences = found["differences"]
    above = [other for other, d in differences.items() if d["low"] > 0]
    below = [other for other, d in differences.items() if d["high"] < 0]
    if len(above) == len(differences):
        return holds()
    if below:
        return fails(f"{found['name']} is below {' and '.join(below)}")
    if above:
        rest = [other for other in differences if other not in above]
        return corrected(
            f"above {' and '.join(above)}; no difference from {' and '.join(rest)} beyond the "
            "spread over seeds"
        )
    return fails(f"no difference from {' or '.join(differences)} beyond the spread over seeds")


def say_each(found: Found) -> str:
    """All scores, and the differences with their intervals."""
    said = "; ".join(
        f"{other} {spread(np.array(values))} %, {said_interval(found['differences'][other])} points"
        for other, values in found["others"].items()
    )
    return f"{found['name']} {spread(np.array(found['ours']))} %; {said}"


def draw_each(found: Found) -> Figure:
    """The differences with their intervals."""
    figure = blank_figure(4.5, 1.2 + 0.5 * len(found["differences"]))
    axes = figure.subplots()
    for row, (other, d) in enumerate(found["differences"].items()):
        axes.plot([d["low"], d["high"]], [row, row], color="tab:blue")
        axes.plot(d["mean"], row, "o", color="tab:blue")
        axes.annotate(other, (d["mean"], row), xytext=(0, 6), textcoords="offset points")
    axes.axvline(0, color="0.4", lw=0.8)
    axes.set_ylim(-0.6, len(found["differences"]) - 0.3)
    axes.set_yticks([])
    axes.set_xlabel(f"{found['name']} less the other / points")
    return figure
