"""Two models seed by seed: the difference, its interval, and what that decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found, Verdict, fails, holds
from pnpfuse.ledger.training import Training

LEVEL = 0.95
INTERVAL = f"{LEVEL:.0%} t interval over the seeds"
GAIN = f"the {INTERVAL} of the paired difference lies above 0"
NOT_LESS = (
    f"the {INTERVAL} of the paired difference does not reach below minus the standard deviation "
    "that the other has over its seeds, one test row at least"
)
ROUNDING = 1e-9  # of percents


def interval(values: ArrayLike, step: float = 0.0) -> dict[str, float]:
    """Mean, and its t interval over seeds: {"mean", "low", "high", "sd"}.

    Parameters
    ----------
    values : (seeds,), at least two
    step : what the values cannot tell apart; the interval is at least so wide to either side
    """
    values = np.asarray(values, dtype=float)
    if values.size < 2:
        raise ValueError(f"values: an interval needs two seeds; found {values.size}")
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    t = float(stats.t.ppf((1 + LEVEL) / 2, values.size - 1))
    half = max(t * sd / np.sqrt(values.size), step)
    return {"mean": mean, "low": mean - half, "high": mean + half, "sd": sd}


def seed_margin(scores: ArrayLike, step: float) -> float:
    """What a seed makes of scores in percent: their standard deviation, one step at least."""
    return max(float(np.asarray(scores, float).std(ddof=1)), step) + ROUNDING


def contrast(
    one: ArrayLike, other: ArrayLike, names: tuple[str, str], score: str = "", step: float = 0.0
) -> Found:
    """Two numbers a seed and the difference one - other.

    Parameters
    ----------
    one, other : (seeds,)
    names : of both, as a sentence has them
    score : what they are
    step : what they cannot tell apart
    """
    ours, theirs = np.asarray(one, float), np.asarray(other, float)
    return {
        "one": ours,
        "other": theirs,
        "names": list(names),
        "score": score,
        "difference": interval(ours - theirs, step),
        "step": step,
    }


def differ(
    bench: Bench,
    one: Training,
    other: Training,
    names: tuple[str, str] | None = None,
    condition: str = "none",
) -> Found:
    """Test scores of two trainings in percent, and their difference seed by seed."""
    ours, theirs = bench.accuracy(one, condition), bench.accuracy(other, condition)
    score = bench.score.replace("_", " ")
    return contrast(ours, theirs, names or (str(one), str(other)), score, bench.step)


def judge_gain(found: Found) -> Verdict:
    """Holds where the first is better beyond the spread."""
    difference = found["difference"]
    if difference["low"] > 0:
        return holds()
    one, other = found["names"]
    if difference["high"] < 0:
        return fails(f"{one} is worse than {other}")
    return fails(f"no difference between {one} and {other} beyond the spread over seeds")


def say_difference(found: Found) -> str:
    """Both scores and the difference, with spread and interval."""
    one, other = found["names"]
    return (
        f"{one} {spread(np.array(found['one']))} %, {other} {spread(np.array(found['other']))} %: "
        f"{said_interval(found['difference'])} points"
    )


def said_interval(of: dict[str, Any], digits: int = 1) -> str:
    """Mean with its interval, as in "+1.2 (0.4 to 2.0)"."""
    return f"{of['mean']:+.{digits}f} ({of['low']:.{digits}f} to {of['high']:.{digits}f})"


def draw_difference(found: Found, label: str = "") -> Figure:
    """A line a seed between the two; `label` of what is no test score in percent."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    for ours, theirs in zip(found["one"], found["other"], strict=True):
        axes.plot([0, 1], [theirs, ours], "o-", color="tab:blue", alpha=0.6)
    axes.set_xticks([0, 1], [found["names"][1], found["names"][0]])
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylabel(label or f"test {found['score']} / %")
    axes.set_title("a line a seed", fontsize="medium")
    return figure
