"""What the task's loss does to the entropy of the predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy as task_loss

from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views

PMR = Training("rpmr")
LABELS = (7, 2, 1)  # how often each class follows one and the same input
SURE = 6.0  # logit by which the first class stands out at a start that is too sure
STEPS, RATE, LIMIT = 400, 2.0, 1e-6  # of gradient descent, convex; and of what it leaves


def trainings(bench: Bench) -> list[Training]:
    """PMR."""
    bench.need(2)
    return [PMR]


def measure(bench: Bench) -> Found:
    """Entropies before and after: of models on test rows, and of one input's prediction."""
    bench.need(2)
    before, after = (
        np.array([_of_rows(model(bench, seed), bench.views.test) for seed in bench.seeds])
        for model in (_untrained, _trained)
    )
    shares = torch.tensor(LABELS, dtype=torch.float64) / sum(LABELS)
    return {
        "before": before.tolist(),
        "after": after.tolist(),
        "fall": interval(before - after),
        "labels": float(-(shares * shares.log()).sum()),
        "starts": {"level": _descended(0.0), "sure": _descended(SURE)},
    }


def _trained(bench: Bench, seed: int) -> FusionModel:
    return bench.model(PMR, seed)


def _untrained(bench: Bench, seed: int) -> FusionModel:
    """The model that the training of this seed began with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = create_model(PMR.model, bench.views.dims, bench.views.classes, **PMR.options)
    train = bench.views.train
    model.set_scale(rows_for(model, train)[0], masks_for(model, train))
    return model.eval()


@torch.no_grad()
def _of_rows(model: FusionModel, rows: Views) -> float:
    return float(_entropy(model(rows_for(model, rows)[0], masks_for(model, rows)).logits).mean())


def _entropy(logits: Tensor) -> Tensor:
    """Of the predictions, in nats, (rows,) of (rows, classes)."""
    return torch.distributions.Categorical(logits=logits).entropy()


def _descended(first: float) -> list[float]:
    """Entropy of the prediction for one input, [before, after] descending the loss."""
    labels = torch.arange(len(LABELS)).repeat_interleave(torch.tensor(LABELS))
    logits = torch.zeros(1, len(LABELS), dtype=torch.float64)
    logits[0, 0] = first
    start = float(_entropy(logits))
    for _ in range(STEPS):
        logits.requires_grad_()
        loss = task_loss(logits.expand(len(labels), -1), labels)
        (slope,) = torch.autograd.grad(loss, logits)
        logits = logits.detach() - RATE * slope
    return [start, float(_entropy(logits))]


def judge(found: Found) -> Verdict:
    """Holds where entropy falls from every start; corrected where it comes to the labels'."""
    if not found["fall"]["low"] > 0:
        return fails("the entropy of the predictions does not fall during the training")
    ends = {name: after for name, (_, after) in found["starts"].items()}
    rising = [name for name, (before, after) in found["starts"].items() if after > before + LIMIT]
    if not rising:
        return holds()
    if max(abs(end - found["labels"]) for end in ends.values()) > LIMIT:
        return fails("the entropy ends elsewhere than at that of the labels")
    before, after = found["starts"][rising[0]]
    return corrected(
        "it brings the entropy to that of the labels given the input, from above or from below: "
        f"from a start that is too sure it rises from {before:.2f} to {after:.2f} nats"
    )


def say(found: Found) -> str:
    """Both."""
    before, after = (float(np.mean(found[k])) for k in ("before", "after"))
    starts = ", ".join(f"{a:.2f} to {b:.2f}" for a, b in found["starts"].values())
    return (
        f"test predictions from {before:.2f} to {after:.2f} nats, a fall of "
        f"{said_interval(found['fall'], 2)}; one input with labels of {found['labels']:.2f} nats: "
        f"from {starts}"
    )


CLAIM = Claim(
    statement="Cross-entropy directly reduces the information entropy of the model's predictions.",
    source="PMR App. F",
    protocol="rPMR before and after its training: the mean entropy of its predictions on test "
    "rows, the same seeds. Then the prediction for one input whose labels are of "
    f"{len(LABELS)} classes {LABELS} times, {STEPS} steps of gradient descent on its logits, from "
    f"equal ones and from a first one of {SURE:g}.",
    threshold=f"the {INTERVAL} of the fall above 0, and no start from which the entropy rises; "
    f"corrected where all starts end at the labels' entropy, to {LIMIT:g} nats, to which the "
    "descent has converged",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
