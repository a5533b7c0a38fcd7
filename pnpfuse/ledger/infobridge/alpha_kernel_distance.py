"""Whether the objective brings the modalities together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.kernel_distances import ALPHAS, KINDS, WIDTH, at_alpha, distances
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.ledger.training import Training


def trainings(bench: Bench) -> list[Training]:
    """One for each alpha."""
    return list(at_alpha(bench).values())


def measure(bench: Bench) -> Found:
    """Distances, and how much each alpha takes from the one before."""
    found = distances(bench)
    overall = np.array(found["overall"])  # (alphas, seeds)
    return found | {"falls": [interval(fall) for fall in -np.diff(overall, axis=0)]}


def judge(found: Found) -> Verdict:
    """Holds where every larger alpha lowers the distance."""
    falls = found["falls"]
    if all(fall["low"] > 0 for fall in falls):
        return holds()
    steps = [f"{a:g} to {b:g}" for a, b in pairwise(found["alphas"])]
    rises = [step for step, fall in zip(steps, falls, strict=True) if fall["high"] < 0]
    if rises:
        return fails(f"the modalities lie further apart from alpha = {', '.join(rises)}")
    return fails("not every larger alpha lowers the distance beyond the spread over seeds")


def say(found: Found) -> str:
    """The distance at each alpha."""
    each = [
        f"{alpha:g}: {spread(np.array(values), 3)}"
        for alpha, values in zip(found["alphas"], found["overall"], strict=True)
    ]
    return f"distance (0 to 1.41) at alpha = {', '.join(each)}"


def draw(found: Found) -> Figure:
    """Distances over alpha, as the paper's Fig. 3."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    place = np.arange(len(found["alphas"]))
    for i, kind in enumerate(KINDS):
        values = np.array(found[kind])
        label = {"overall": "all pairs", "within": "same class", "between": "two classes"}[kind]
        axes.bar(place + 0.27 * (i - 1), values.mean(1), 0.25, yerr=values.std(1, ddof=1),
                 label=label)  # fmt: skip
    axes.set_xticks(place, [f"{alpha:g}" for alpha in found["alphas"]])
    axes.set_xlabel("weight alpha of the objective")
    axes.set_ylabel("mean Gaussian kernel distance")
    axes.legend(fontsize="small")
    return figure


CLAIM = Claim(
    statement="A larger weight of the objective brings the features of two modalities closer, "
    "by the mean distance under a Gaussian kernel.",
    source="InfoBridge Sec. 4.4, Fig. 3",
    protocol=f"InfoBridge around the concatenation with encoders of one width, {WIDTH}, and alpha "
    f"of {ALPHAS} (quick: the first and the last); the mean kernel distance of the encoded test "
    "rows of two modalities, over all pairs of rows and of modalities, at the median bandwidth of "
    "the features without the objective; trained with the same seeds.",
    threshold=f"the {INTERVAL} of what each alpha takes from the distance with the one before lies "
    "above 0",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
    trainings=trainings,
)
