"""The loop of many trainings: one stack, one optimiser, a history for each point."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pnpfuse.data import Views
from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.fusion.encoders import HIDDEN
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.presence import resolve_present, zero_absent
from pnpfuse.history import Columns, append
from pnpfuse.optimisers import Schedule, make_optimizer, param_groups
from pnpfuse.stacked.draws import Draws
from pnpfuse.stacked.gradients import Gradients, written_out
from pnpfuse.stacked.losses import Losses
from pnpfuse.stacked.weights import Weights
from pnpfuse.trainer import TrainingError, broken, check_losses


class StackTrainer:
    """Trainings of models of one stack; the arguments are checked by `fit_stacked`.

    Parameters
    ----------
    models : P, on their device
    train : the training rows
    seeds : one for each model
    numbers : of `pnpfuse.training.check_numbers`
    weights : of the losses
    optimizer, schedule : as for `fit`
    """

    def __init__(
        self,
        models: Sequence[FusionModel],
        train: Views,
        seeds: Sequence[int],
        numbers: dict[str, Any],
        weights: dict[str, float],
        optimizer: str,
        schedule: Any,
    ):
        self.models, self.epochs = list(models), numbers["epochs"]
        self.batch_size, self.clip = numbers["batch_size"], numbers["clip"]
        self.features, self.masks, self.labels = _scaled_rows(self.models, train)
        self.count = len(train)
        self.weights = Weights(self.models)
        self.dropout = self.models[0].options.get("dropout", 0.0)
        self.modality_dropout = self.models[0].modality_dropout
        kind = Gradients if written_out(self.weights, self.batch_size) else Losses
        self.gradients = kind(self.weights, weights["preservation"], self.dropout)
        given = ("lr", "weight_decay", "block_lr", "block_weight_decay")
        groups = param_groups(self.weights, **{name: numbers[name] for name in given})
        fused = True if self.labels.device.type in ("cpu", "cuda") else None
        self.optimizer = make_optimizer(optimizer, groups, fused)
        steps = -(-self.count // self.batch_size)
        self.schedule = Schedule(schedule, self.optimizer, self.epochs, steps)
        self.draws = Draws(seeds, self.weights.rest.values)
        self.failures: list[TrainingError | None] = [None] * len(self.models)
        self.losses: list[Columns] = [{} for _ in self.models]
        self.rates: Columns = {}

    def run(self, bar: tqdm) -> None:
        """Train to the end and give every model its weights; `bar` counts epochs of points."""
        try:
            for epoch in range(1, self.epochs + 1):
                append(self.rates, {g["name"]: g["lr"] for g in self.optimizer.param_groups})
                losses = self.one_epoch()
                finite = self.weights.finite().tolist()  # (P,)
                for point, means in enumerate(losses):
                    if self.failures[point] is None:
                        self._look(point, means, finite[point], epoch)
                bar.update(len(self.models))
        finally:  # interrupted, too, models have the weights of that moment, as by `fit`
            for point, failure in enumerate(self.failures):
                if failure is None:
                    self.weights.give_back(point)

    def _look(self, point: int, losses: dict[str, float], finite: bool, epoch: int) -> None:
        """Note the losses of a point, or that it cannot go on."""
        append(self.losses[point], losses)
        try:
            check_losses(losses, epoch)
            if not finite:
                raise TrainingError(broken(epoch))
        except TrainingError as error:
            self.failures[point] = error
            self.weights.give_back(point)

    def one_epoch(self) -> list[dict[str, float]]:
        """One epoch of steps; for each point the mean of every loss over the training rows."""
        order = self.draws.order(self.count)  # (seeds, rows)
        sums: dict[str, Tensor] = {}
        for rows in order.split(self.batch_size, dim=1):
            for name, value in self._step(rows).items():
                sums[name] = sums.get(name, 0) + value.detach() * rows.shape[1]
        means = (torch.stack(list(sums.values()), dim=1) / self.count).tolist()  # (P, losses)
        return [dict(zip(sums, row, strict=True)) for row in means]

    def _step(self, rows: Tensor) -> dict[str, Tensor]:
        """One step of all with their rows (seeds, batch); the losses before it, each (P,)."""
        draws, batch, names = self.draws, rows.shape[1], list(self.features)
        masks = self.masks and {m: mask[rows] for m, mask in self.masks.items()}  # (seeds, batch)
        if self.modality_dropout > 0:
            masks = draws.dropped(masks, names, batch, self.modality_dropout)
        if masks is not None:
            masks = {m: draws.spread(mask) for m, mask in masks.items()}  # (P, batch)
        X = draws.gathered(self.features, rows)  # (P, batch, d)
        if masks is not None and self.modality_dropout > 0:
            X = {m: zero_absent(x, masks[m]) for m, x in X.items()}
        noise = None
        if self.dropout > 0:
            noise = draws.dropout(names, batch, HIDDEN, self.dropout)  # (P, batch, 64)
        losses = self.gradients(X, masks, noise, draws.spread(self.labels[rows]))
        if self.clip is not None:
            self.weights.clip(self.clip)
        self.optimizer.step()
        self.schedule.after_step()
        return losses


def _scaled_rows(
    models: list[FusionModel], train: Views
) -> tuple[dict[str, Tensor], dict[str, Tensor] | None, Tensor]:
    """What the encoders see of the rows (rows, d), presence (rows,) and labels (rows,).

    Every model gets the standardisation.
    """
    first = models[0]
    features, labels = rows_for(first, train)
    present = masks_for(first, train)
    first.set_scale(features, present)
    for model in models[1:]:
        if model.scales is not None:
            model.scales.load_state_dict(first.scales.state_dict())  # type: ignore[union-attr]
    X, masks = resolve_present(features, present, first.dims)
    if first.scales is not None:
        X = {m: first.scales[m](x) for m, x in X.items()}
        if masks is not None:
            X = {m: zero_absent(x, masks[m]) for m, x in X.items()}
    return X, masks, labels
