"""Whether GMF's own loss agrees with the task's at the extractors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.evaluation import rows_for
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.encodings import whole
from pnpfuse.ledger.measures.paired import INTERVAL, differ, interval, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import grad_cosine

FULL = Training("gmf")
CUT = Training("spmr", {"gradient": "block_only"})  # sPMR is GMF, with this option


def trainings(bench: Bench) -> list[Training]:
    """With the fusion loss reaching the extractors, and without."""
    bench.need(2)
    return [FULL, CUT]


def measure(bench: Bench) -> Found:
    """Cosines at the encoders' output on training rows, and both test scores."""
    bench.need(2)
    full, cut = ([_cosine(bench, t, seed) for seed in bench.seeds] for t in (FULL, CUT))
    known = [c for c, _ in full if np.isfinite(c)]
    return {
        "cosines": [c for c, _ in full],
        "conflicts": [100 * rate for _, rate in full],
        "undefined without": int(sum(not np.isfinite(c) for c, _ in cut)),
        "cosine": interval(known) if len(known) > 1 else None,
    } | differ(bench, FULL, CUT, ("with it", "without"))


def _cosine(bench: Bench, training: Training, seed: int) -> tuple[float, float]:
    """Of the fusion loss's gradient with the task's, over all rows; share of rows below 0."""
    model = bench.model(training, seed)
    X, labels = rows_for(model, whole(bench.views.train))
    V = {m: v.detach().requires_grad_() for m, v in model.encode(X).items()}  # each (rows, l_m)
    fusion = model.fuse(V)
    task = cross_entropy(model.classify(fusion), labels)
    loss = fusion.losses["preservation"]
    if not loss.requires_grad or not _reaches(loss, list(V.values())):
        return np.nan, np.nan
    report = grad_cosine({"task": task, "fusion": loss}, V, main="task")
    assert report.conflict_rate is not None
    return float(report.cosine[0]), float(report.conflict_rate[0])


def _reaches(loss: Tensor, features: list[Tensor]) -> bool:
    found = torch.autograd.grad(loss, features, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in found)


def judge(found: Found) -> Verdict:
    """Holds where the fusion loss leaves the extractors alone or agrees with the task."""
    cosine = found["cosine"]
    if cosine is None or cosine["low"] > 0:
        return holds()
    if cosine["high"] < 0:
        return fails("GMF's reconstruction loss acts against the task's at the extractors")
    return fails("GMF's reconstruction loss is neither zero at the extractors nor aligned")


def say(found: Found) -> str:
    """Cosine, share of rows in conflict, and what cutting the gradient does."""
    if found["cosine"] is None:
        said = "the fusion loss does not reach the extractors"
    else:
        said = (
            f"cosine {said_interval(found['cosine'], 3)}, below 0 in "
            f"{spread(np.array(found['conflicts'], dtype=float), 0)} % of the rows"
        )
    return (
        f"{said}; with its gradient at the extractors less without: "
        f"{said_interval(found['difference'])} points"
    )


CLAIM = Claim(
    statement="The gradient of the fusion loss at the extractors should align with the task's or "
    "be zero, and GMF is built so.",
    source="GMF Sec. 3.2, Theorem 3.1, Eq. 5; App. A.2",
    protocol="The gradients of GMF's reconstruction loss and of the task's loss at the encoders' "
    "outputs, on training rows at the end of the training; beside it the test scores of GMF whose "
    "reconstruction loss does not reach the encoders, the same seeds.",
    threshold=f"holds if the {INTERVAL} of the cosine lies above 0, or the gradient is zero",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
