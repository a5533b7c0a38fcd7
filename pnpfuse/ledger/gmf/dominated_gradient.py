"""A fusion loss that outweighs the task's."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

from pnpfuse.evaluation import rows_for
from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.encodings import whole
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views

WEIGHTS = (0.1, 1.0, 10.0, 100.0)


def _training(weight: float) -> Training:
    own = weight == WEIGHTS[0]  # what the method recommends
    return Training("gmf", settings={} if own else {"weights": {"preservation": weight}})


def trainings(bench: Bench) -> list[Training]:
    """One a weight."""
    bench.need(2)
    return [_training(weight) for weight in WEIGHTS]


def measure(bench: Bench) -> Found:
    """Test scores and, on training rows, both losses, a row a weight."""
    bench.need(2)
    scores = [bench.accuracy(_training(weight)) for weight in WEIGHTS]
    return {
        "weights": WEIGHTS,
        "scores": scores,
        "ratios": [_ratio(bench, weight) for weight in WEIGHTS],
        "falls": [interval(score - scores[0], bench.step) for score in scores[1:]],
        "score": bench.score.replace("_", " "),
    }


@torch.no_grad()
def _ratio(bench: Bench, weight: float) -> list[float]:
    """Weighted fusion loss over task loss on training rows, first and last; medians over seeds."""
    rows, ratios = whole(bench.views.train), []
    for seed in bench.seeds:
        last = bench.model(_training(weight), seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            first = create_model("gmf", last.dims, last.classes).eval()
        X, _ = rows_for(first, rows)
        first.set_scale(X)
        ratios.append(
            [weight * _fusion_over_task(first, rows), weight * _fusion_over_task(last, rows)]
        )
    return np.median(ratios, axis=0).tolist()


def _fusion_over_task(model: FusionModel, rows: Views) -> float:
    X, labels = rows_for(model, rows)
    out = model(X)
    return float(out.losses["preservation"] / cross_entropy(out.logits, labels))


def judge(found: Found) -> Verdict:
    """Holds where the accuracy falls once the fusion loss is the larger."""
    if max(found["ratios"][-1]) <= 1:
        return fails("the fusion loss does not outweigh the task's at the largest weight")
    if found["falls"][-1]["high"] < 0:
        return holds()
    if found["falls"][-1]["low"] > 0:
        return fails("the task gains from the largest weight")
    return fails("the task does not suffer at the largest weight beyond the spread over seeds")


def say(found: Found) -> str:
    """Scores and losses, a weight after the other."""
    said = "; ".join(
        f"{spread(np.array(score))} % at {weight:g} (fusion over task loss {ratio[0]:.2g} at "
        f"first, {ratio[1]:.2g} at last)"
        for weight, score, ratio in zip(
            found["weights"], found["scores"], found["ratios"], strict=True
        )
    )
    return f"{said}; first to last {said_interval(found['falls'][-1])} points"


def draw(found: Found) -> Figure:
    """Test scores over the weight."""
    figure = blank_figure(4.5, 3.4)
    axes = figure.subplots()
    scores = np.array(found["scores"])
    axes.semilogx(found["weights"], scores, "o", color="tab:blue", alpha=0.4)
    axes.semilogx(found["weights"], scores.mean(1), color="tab:blue")
    axes.set_xlabel("weight of the fusion loss")
    axes.set_ylabel(f"test {found['score']} / %")
    return figure


CLAIM = Claim(
    statement="Where the weighted fusion loss exceeds the task's, the extractors follow it and "
    "the performance that can be reached falls.",
    source="GMF App. F, Eq. 44",
    protocol=f"GMF is trained with weights {WEIGHTS} of its reconstruction loss, the same seeds; "
    "test scores, and the ratio of the weighted loss to the task's on training rows before and "
    "after the training.",
    threshold="holds if at the largest weight the fusion loss is the larger, before or after, and "
    f"the {INTERVAL} of the paired difference to the smallest weight lies below 0",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
    trainings=trainings,
)
