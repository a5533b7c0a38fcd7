"""Accuracy over the number of neighbours."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

FEW, MIDDLE = 10, 30  # MIDDLE is the default
GRID, SHORT = (3, FEW, MIDDLE, 60), (FEW, MIDDLE)


def trainings(bench: Bench) -> list[Training]:
    """One for each k."""
    bench.need(2)
    return list(_by_neighbours(bench).values())


def _by_neighbours(bench: Bench) -> dict[int, Training]:
    grid = SHORT if bench.quick else GRID
    return {k: WHOLE if k == MIDDLE else Training("scope", {"k": k}) for k in grid}


def measure(bench: Bench) -> Found:
    """Test scores in percent by k, and the steps from one k to the next."""
    bench.need(2)
    scores = {k: bench.accuracy(training) for k, training in _by_neighbours(bench).items()}
    grid = list(scores)
    steps = {
        f"{low} to {high}": interval(scores[high] - scores[low], bench.step)
        for low, high in zip(grid, grid[1:], strict=False)
    }
    return {"scores": scores, "steps": steps, "score": bench.score.replace("_", " ")}


def judge(found: Found) -> Verdict:
    """Holds if accuracy rises to the middle k, and what comes after is no larger rise."""
    steps = found["steps"]
    rise, later = steps[f"{FEW} to {MIDDLE}"], list(steps)[-1]
    if rise["low"] > 0:
        if steps[later]["mean"] > rise["mean"]:
            return fails(f"the rise does not level off: the larger one is from k = {later}")
        return holds()
    if rise["high"] < 0:
        return fails(f"accuracy falls from k = {FEW} to {MIDDLE}")
    return fails(f"no difference between k = {FEW} and {MIDDLE} beyond the spread over seeds")


def say(found: Found) -> str:
    """Scores and steps."""
    scores = ", ".join(f"{spread(np.array(s))} % (k = {k})" for k, s in found["scores"].items())
    steps = ", ".join(f"{name} {said_interval(one)}" for name, one in found["steps"].items())
    return f"{scores}; from k = {steps} points"


def draw(found: Found) -> Figure:
    """Accuracy over k, a line a seed."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    grid = [int(k) for k in found["scores"]]
    axes.plot(grid, list(found["scores"].values()), "o-", color="tab:blue", alpha=0.6)
    axes.set_xticks(grid)
    axes.set_xlabel("neighbours k")
    axes.set_ylabel(f"test {found['score']} / %")
    axes.set_title("a line a seed", fontsize="medium")
    return figure


CLAIM = Claim(
    statement=f"More neighbours make SCOPE more accurate, above all from k = {FEW} to {MIDDLE}, "
    "after which the gain levels off.",
    source="SCOPE Sec. 5.3, Fig. 3",
    protocol=f"SCOPE with k of {', '.join(map(str, GRID))} (quick {', '.join(map(str, SHORT))}) in "
    "batches of 128, trained with the same seeds; test scores with all modalities. k is cut to the "
    "rows that there are.",
    threshold=f"the {INTERVAL} of the paired difference of k = {MIDDLE} to {FEW} lies above 0, and "
    "the mean gain of the last step of the grid is no larger",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
    trainings=trainings,
)
