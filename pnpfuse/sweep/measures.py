"""What a sweep measures of a trained model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from pnpfuse.evaluation import evaluate, masks_for, rows_for
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.history import History
from pnpfuse.views import Views
from pnpfuse.weighting import TASK
from pnpfuse_analysis import effective_rank, grad_cosine

# Training rows on which the gradients of the losses are compared.
GRADIENT_ROWS = 512
# Singular values below this share of the largest are the rounding of float32 features.
ROUNDING = 1e-5

Measured = dict[str, NDArray]  # {variable: its values at one point}


def measured(model: FusionModel, views: Views, history: History, missing: str) -> Measured:
    """The variables of one trained model, without the dimensions of the grid."""
    scores = evaluate(model, views, missing)
    found = {name: scores[name].values for name in ("accuracy", "balanced_accuracy", "loss")}
    names = [TASK, *model.loss_weights]
    found["training_loss"] = np.array([history.losses.get(name, [np.nan])[-1] for name in names])
    if isinstance(model.block, Exchange):
        found |= _conflict(model, views.train) | _ranks(model, views.test)
    return found


def _conflict(model: FusionModel, views: Views) -> Measured:
    """How the gradients of the losses lie to each other where the encoders end."""
    auxiliary = list(model.loss_weights)
    rows = views.subset(np.arange(len(views)) < GRADIENT_ROWS)
    features, labels = rows_for(model, rows)
    V = {m: v.detach().requires_grad_() for m, v in _encoded(model, rows).items()}  # (rows, l_m)
    fusion = model.fuse(V, masks_for(model, rows))
    logits, losses = model.head(fusion, labels)
    losses = {TASK: cross_entropy(logits, labels)} | fusion.losses | losses
    shape = len(auxiliary), len(V)
    found = {name: np.full(shape, np.nan) for name in ("gradient_cosine", "conflict_rate")}
    for k, v in enumerate(V.values()):
        report = grad_cosine({name: losses[name] for name in (TASK, *auxiliary)}, v, main=TASK)
        found["gradient_cosine"][:, k] = report.cosine.cpu()
        assert report.conflict_rate is not None  # V is a row a sample
        found["conflict_rate"][:, k] = report.conflict_rate.cpu()
    return found


def _ranks(model: FusionModel, views: Views) -> Measured:
    """In how many directions each modality's own shared part spreads over the rows."""
    block = model.block
    assert isinstance(block, Exchange)
    with torch.no_grad():
        own, _, _ = block.separate(_encoded(model, views), masks_for(model, views))
    shared = {m: (part - part.mean(0)).double() for m, part in own.items()}  # each (rows, l*)
    return {
        "effective_rank": np.array([float(effective_rank(part)) for part in shared.values()]),
        "rank": np.array(
            [float(torch.linalg.matrix_rank(part, rtol=ROUNDING)) for part in shared.values()]
        ),
    }


@torch.no_grad()
def _encoded(model: FusionModel, views: Views) -> dict[str, torch.Tensor]:
    """V of all rows, {modality: (rows, l_m)}."""
    return model.encode(rows_for(model, views)[0], masks_for(model, views))
