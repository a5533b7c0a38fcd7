"""The fixed missing protocol: every subset of three modalities at test time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pnpfuse.figures import CYCLE, blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found
from pnpfuse.ledger.measures.paired import interval
from pnpfuse.ledger.training import Training

COUNT = 3  # modalities; the first ones where there are more
MEAN = "mean"


def on_three(bench: Bench, training: Training) -> Training:
    """The training on the first three modalities; CannotTry where there are fewer."""
    bench.need(COUNT)
    names = tuple(bench.views.names)
    only = names[:COUNT] if len(names) > COUNT else ()
    return Training(training.model, training.options, training.settings, only)


def subset_scores(bench: Bench, training: Training) -> dict[str, NDArray[np.float64]]:
    """{subset: test scores in percent (seeds,)} of the seven subsets, and their mean."""
    names = list(bench.views.names)[:COUNT]
    conditions = {f"{m}": f"only:{m}" for m in names}
    conditions |= {"+".join(k for k in names if k != m): f"missing:{m}" for m in names[::-1]}
    conditions["+".join(names)] = "none"
    table = 100 * bench.scores(training)[bench.score]  # (seed, condition)
    scores = {name: table.sel(condition=one).values for name, one in conditions.items()}
    return {**scores, MEAN: np.mean(list(scores.values()), 0)}


def over_subsets(bench: Bench, ours: Mapping[str, Training], rows: Mapping[str, Training]) -> Found:
    """Scores of all models by subset, and the difference of ours to each row, seed by seed."""
    scores = {
        name: subset_scores(bench, on_three(bench, one)) for name, one in {**ours, **rows}.items()
    }
    one = next(iter(ours))
    return {
        "score": bench.score.replace("_", " "),
        "one": one,
        "epochs": bench.epochs,
        "step": bench.step,
        "scores": scores,
        "differences": {
            row: {s: interval(scores[one][s] - scores[row][s], bench.step) for s in scores[one]}
            for row in rows
        },
    }


def draw_subsets(found: Found) -> Figure:
    """Mean scores of all models over the subsets."""
    figure = blank_figure(6.5, 3.8)
    axes = figure.subplots()
    for colour, (name, scores) in zip(CYCLE, found["scores"].items(), strict=False):
        means = [np.mean(values) for values in scores.values()]
        axes.plot(range(len(means)), means, "o", color=colour, label=name, alpha=0.8)
    names = list(next(iter(found["scores"].values())))
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_xlabel("modalities present")
    axes.set_ylabel(f"test {found['score']} / %, mean over seeds")
    axes.legend(fontsize="small")
    return figure
