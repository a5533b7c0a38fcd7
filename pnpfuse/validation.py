"""Rows held back from a training, and early stopping on them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pnpfuse.batches import Rows
from pnpfuse.data import Views
from pnpfuse.evaluation import in_order
from pnpfuse.fusion.arguments import check_number
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.precision import widen
from pnpfuse.objective import autocast


def split_validation(
    model: FusionModel, train: Views, validation: float | Views, seed: int
) -> tuple[Views, Views | None]:
    """The rows to train on and the rows held back, None for none.

    Parameters
    ----------
    model : only for its widths and classes
    train : the training rows
    validation : share of the training rows to hold back, stratified; or views of their own, all
        of whose rows are used
    seed : of the draw
    """
    if isinstance(validation, Views):
        if validation.dims != model.dims or validation.classes != model.classes:
            raise ValueError(
                f"validation has the widths {validation.dims} and {validation.classes} classes; "
                f"the model was made for {model.dims} and {model.classes}"
            )
        return train, validation
    share = check_number("validation", validation)
    if share >= 1:
        raise ValueError(f"validation must be views or a share below 1; found {validation!r}")
    if share == 0:
        return train, None
    held = _stratified(np.asarray(train.labels), share, seed)
    return train.subset(~held), train.subset(held)


def _stratified(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mask (rows,) of the rows held back: `share` of each class, one row of it stays at least."""
    counts = np.bincount(labels)
    room = np.maximum(counts - 1, 0)
    quota = share * counts
    take = np.minimum(quota.astype(int), room)
    # The rest goes to the classes that the rounding cut most.
    for k in np.argsort(-(quota - take), kind="stable"):
        if take.sum() >= max(1, round(share * len(labels))):
            break
        take[k] += take[k] < room[k]
    if not take.any():
        raise ValueError(
            f"validation={share:g} of {len(labels)} training rows leaves a class without any; "
            "give validation views or more rows"
        )
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for k, count in enumerate(take):
        held[random.permutation(np.flatnonzero(labels == k))[:count]] = True
    return held


@torch.inference_mode()
def validate(model: FusionModel, rows: Rows, count: int, precision: str) -> dict[str, float]:
    """Cross-entropy and accuracy of `model` over `count` rows; leaves it in evaluation mode.

    Beside them its bounds on the information between modalities, if it has some, each a mean over
    the batches by their rows.
    """
    model.eval()
    sums: Tensor | float = 0.0
    names: list[str] = []
    chunks = [torch.from_numpy(chunk) for chunk in in_order(count, model.dims)]  # each (batch,)
    for features, present, labels in rows.batches(chunks):
        with autocast(labels.device, precision):
            logits = model(features, present).logits  # (batch, classes)
            bounds = model.bounds(features, present, labels)
        loss = cross_entropy(widen(logits), labels, reduction="sum")  # ()
        right = (logits.argmax(-1) == labels).sum()  # ()
        found = {"loss": loss, "accuracy": right}
        found |= {name: value * len(labels) for name, value in bounds.items()}
        names = list(found)
        sums = sums + torch.stack([value.double() for value in found.values()])  # (names,)
    assert isinstance(sums, Tensor)
    return dict(zip(names, (sums / count).tolist(), strict=True))


class Best:
    """The weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    patience : epochs without a lower loss after which it is enough; None, never
    """

    def __init__(self, patience: int | None):
        self.patience = patience
        self.loss, self.epoch = math.inf, 0
        self.weights: dict[str, Tensor] = {}

    def look(self, module: nn.Module, loss: float, epoch: int) -> None:
        """Take a copy of the weights if `loss` is the lowest so far."""
        if self.patience is not None and loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def enough(self, epoch: int) -> bool:
        """Whether to stop after `epoch`."""
        return self.patience is not None and epoch - self.epoch >= self.patience

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"loss": self.loss, "epoch": self.epoch, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.loss, self.epoch = state["loss"], state["epoch"]
        self.weights = state.get("weights", {})
