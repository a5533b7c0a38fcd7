"""What a sweep measures of a trained model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import VARIABLES as SCORES
from pnpfuse.evaluation import evaluate, masks_for, rows_for
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.history import History
from pnpfuse.trainer import TrainingError
from pnpfuse.views import Views
from pnpfuse.weighting import TASK
from pnpfuse_analysis.geometry.embeddings import spectral_rank
from pnpfuse_analysis.gradients.conflict import compare, sample_gramian

# Training rows, drawn once, on which the gradients of the losses are compared.
GRADIENT_ROWS = 512
# Test rows, drawn once, whose shared parts are looked at; at least two for each of their features.
RANK_ROWS = 2048
# Singular values below this share of the largest are the rounding of float32 features.
ROUNDING = 1e-5

Measured = dict[str, NDArray]  # {variable: its values at one point}


def measured(
    model: FusionModel, views: Views, history: History, missing: str
) -> Measured | TrainingError:
    """The variables of one trained model, without the dimensions of the grid.

    An error for a model whose weights are finite and whose logits are not.
    """
    try:
        scores = evaluate(model, views, missing)
    except ValueError as error:
        if "not finite" not in str(error):
            raise
        return TrainingError(str(error))
    found = {name: scores[name].values for name in SCORES}
    names = [TASK, *model.loss_weights]
    found["training_loss"] = np.array([history.losses.get(name, [np.nan])[-1] for name in names])
    if isinstance(model.block, Exchange):
        found |= _conflict(model, drawn(views.train, GRADIENT_ROWS, seed=0))
        rows = max(RANK_ROWS, 2 * model.block.widths.common)
        found |= _ranks(model, drawn(views.test, rows, seed=0))
    return found


def _conflict(model: FusionModel, rows: Views) -> Measured:
    """How the gradients of the losses lie to each other where the encoders end."""
    auxiliary = list(model.loss_weights)
    V, labels, masks = _encoded(model, rows)
    V = {m: v.requires_grad_() for m, v in V.items()}  # (rows, l_m)
    fusion = model.fuse(V, masks)
    logits, losses = model.head(fusion, labels)
    losses = {TASK: cross_entropy(logits, labels)} | fusion.losses | losses
    # One pass back for each loss, to all the modalities.
    gradients = [_gradient(losses[name], list(V.values())) for name in (TASK, *auxiliary)]
    reports = [
        compare(sample_gramian([[part] for part in parts]), TASK, tuple(auxiliary))
        for parts in zip(*gradients, strict=True)
    ]
    cosines = [report.cosine for report in reports]  # of each modality (auxiliary,)
    rates = [report.conflict_rate for report in reports if report.conflict_rate is not None]
    return {
        "gradient_cosine": torch.stack(cosines, -1).cpu().numpy(),
        "conflict_rate": torch.stack(rates, -1).cpu().numpy(),
    }


def _gradient(loss: Tensor, at: list[Tensor]) -> list[Tensor]:
    """Zero where the loss does not depend on a tensor."""
    if not loss.requires_grad:
        return [torch.zeros_like(tensor) for tensor in at]
    return list(torch.autograd.grad(loss, at, retain_graph=True, materialize_grads=True))


@torch.no_grad()
def _ranks(model: FusionModel, rows: Views) -> Measured:
    """In how many directions each modality's own shared part spreads over the rows it has."""
    block = model.block
    assert isinstance(block, Exchange)
    V, _, masks = _encoded(model, rows)
    own, _, _ = block.separate(V, masks)  # each (rows, l*)
    shape = len(own)
    found = {name: np.full(shape, np.nan) for name in ("effective_rank", "rank")}
    for k, (m, part) in enumerate(own.items()):
        seen = (part if masks is None else part[masks[m]]).double()
        if len(seen) > 1:
            singular = torch.linalg.svdvals(seen - seen.mean(0))
            found["effective_rank"][k] = float(spectral_rank(singular))
            found["rank"][k] = float((singular > ROUNDING * singular[0]).sum())
    return found


@torch.no_grad()
def _encoded(
    model: FusionModel, rows: Views
) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor] | None]:
    """V of all rows, {modality: (rows, l_m)}, with labels and presence (rows,)."""
    features, labels = rows_for(model, rows)
    masks = masks_for(model, rows)
    return model.encode(features, masks), labels, masks
