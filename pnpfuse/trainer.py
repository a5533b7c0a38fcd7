"""The loop of a training: epochs, steps, and a state that can be put down and taken up again."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pnpfuse.batches import Batch, Rows
from pnpfuse.distributed import (
    add_up,
    average_gradients,
    data_parallel,
    from_first,
    gather,
    rank,
    shard,
    share_state,
    world,
)
from pnpfuse.fusion.model import FusionModel
from pnpfuse.history import History, append
from pnpfuse.objective import Objective
from pnpfuse.optimisers import Schedule
from pnpfuse.validation import Best, validate
from pnpfuse.weighting import Aggregate, Homoscedastic, PrintedWeights, Summed


class TrainingError(RuntimeError):
    """The training cannot go on: a loss or a weight is no longer finite."""


class Trainer:
    """One training in the course of being made; the arguments are checked by `fit`.

    Parameters
    ----------
    model, weighting, optimizer, schedule : the parts, on their device
    rows, count : the training rows
    held, held_count : the validation rows, None and 0 for none
    seed, batch_size, precision, clip, patience : as for `fit`
    """

    def __init__(
        self,
        model: FusionModel,
        weighting: Summed | Aggregate,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        rows: Rows,
        count: int,
        held: Rows | None,
        held_count: int,
        *,
        seed: int,
        batch_size: int,
        precision: str,
        clip: float | None,
        patience: int | None,
    ):
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.rows, self.count, self.held, self.held_count = rows, count, held, held_count
        self.batch_size, self.precision, self.clip = batch_size, precision, clip
        self.seed = seed
        summed = isinstance(weighting, Summed)
        self.weigh: nn.Module | None = weighting if summed else None  # type: ignore[assignment]
        self.aggregate: Aggregate | None = None if summed else weighting
        self.objective: nn.Module = Objective(model, self.weigh, precision)
        self.shuffle = torch.Generator().manual_seed(seed)
        self.best = Best(patience)
        self.history = History({})
        self.epoch = 0
        self.device = next(model.parameters()).device

    def start(self) -> None:
        """Set the random state, apart for each process, and join the processes."""
        self.model.train()
        if world() > 1 and self.aggregate is None:
            first = torch.arange(min(self.batch_size, self.count))
            batch = next(self.rows.batches([first]))
            self.objective = data_parallel(self.objective, lambda: self.objective(*batch)[0])
        torch.manual_seed(self.seed + rank())  # dropout

    def run(self, bar: tqdm, save: Callable[[], None]) -> None:
        """Train for the epochs that `bar` counts; `save` is called after each."""
        for epoch in bar:
            self.model.train()
            rates = [(g.get("name", "rest"), g["lr"]) for g in self.optimizer.param_groups]
            losses = self._solvable_pass(epoch)
            check_losses(losses, epoch)
            _check_weights(self.model, epoch)
            append(self.history.losses, losses)
            append(self.history.rates, {n: lr for n, lr in rates if n != "weighting"})
            if isinstance(self.weigh, Homoscedastic):
                append(self.history.variances, self.weigh.variances())
            if isinstance(self.weigh, PrintedWeights):
                append(self.history.weights, self.weigh.weights(losses))
            watched = losses["task"]
            if self.held is not None:
                watched = self._validate(epoch)
            self.schedule.after_epoch(watched)
            self.epoch = epoch
            save()
            latest = {name: f"{column[-1]:.4g}" for name, column in self._columns().items()}
            bar.set_postfix(latest)
            if self.best.enough(epoch):
                break

    def finish(self) -> None:
        """Give the model the weights that the training ends with."""
        if self.best.weights:
            self.model.load_state_dict(self.best.weights)
        share_state(self.model)  # running means are each process's own

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on; called by all processes together."""
        cuda = self.device.type == "cuda"
        random = {"cpu": torch.get_rng_state()}
        if cuda:
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        history = self.history
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "weighting": {} if self.weigh is None else self.weigh.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "rates": [group["lr"] for group in self.optimizer.param_groups],
            "schedule": self.schedule.state(),
            "random": {
                kind: {str(i): one for i, one in enumerate(gather(value))}
                for kind, value in random.items()
            },
            "shuffle": self.shuffle.get_state(),
            "best": self.best.state(),
            "history": {
                "losses": history.losses,
                "validation": history.validation,
                "rates": history.rates,
                "variances": history.variances,
                "weights": history.weights,
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, after `start`."""
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        if self.weigh is not None:
            self.weigh.load_state_dict(state["weighting"])
        now = self.optimizer.state_dict()
        now["state"] = {int(i): values for i, values in state["optimizer"].items()}
        for group, rate in zip(now["param_groups"], state["rates"], strict=True):
            group["lr"] = rate
        self.optimizer.load_state_dict(now)
        self.schedule.restore(state["schedule"])
        torch.set_rng_state(state["random"]["cpu"][str(rank())])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"][str(rank())], self.device)
        self.shuffle.set_state(state["shuffle"])
        best = state["best"]
        best["weights"] = {k: v.to(self.device) for k, v in best["weights"].items()}
        self.best.restore(best)
        self.history = History(**state["history"])

    def _solvable_pass(self, epoch: int) -> dict[str, float]:
        """`_pass`; a learned cell that can no longer be solved ends the training."""
        try:
            return self._pass()
        except RuntimeError as error:
            from pnpfuse_solvers import SolverError  # here: most models need no solver

            if not isinstance(error, SolverError):
                raise
            raise TrainingError(
                f"a learned boundary has run away in epoch {epoch}, its cell cannot be solved any "
                f"more: lower block_lr; {error}"
            ) from error

    def _pass(self) -> dict[str, float]:
        """One epoch of steps; the mean of every loss over the training rows."""
        order = torch.randperm(self.count, generator=self.shuffle)  # (rows,)
        whole = order.split(self.batch_size)
        mine = [shard(rows) for rows in whole]
        batches = self.rows.batches([rows for rows, _ in mine])
        sums: dict[str, Tensor] = {}
        for batch, (_, used), rows in zip(batches, mine, whole, strict=True):
            losses = self._step(batch, used / len(rows))
            for name, value in losses.items():
                # Stays on the device: reading it here would stall every step.
                sums[name] = sums.get(name, 0) + value.detach() * used
        means = (add_up(torch.stack(list(sums.values()))) / self.count).tolist()
        return dict(zip(sums, means, strict=True))

    def _step(self, batch: Batch, share: float) -> dict[str, Tensor]:
        """One step with this process's `share` of a batch; the losses before it, each ()."""
        total, losses = self.objective(*batch)
        self.optimizer.zero_grad()
        if self.aggregate is not None:
            self.aggregate(losses, self.model)
            if all(weight.grad is None for weight in self.model.parameters()):
                raise ValueError("weighting left no gradient: it has to do the backward pass")
            average_gradients(self.model.parameters(), share)
        elif world() > 1:
            # DistributedDataParallel takes the plain mean over the processes.
            (total * (share * world())).backward()
        else:
            total.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.after_step()
        return losses

    def _validate(self, epoch: int) -> float:
        held = self.held
        assert held is not None
        # One process alone, so that rounding cannot make them decide differently.
        found = from_first(lambda: validate(self.model, held, self.held_count, self.precision))
        if not math.isfinite(found["loss"]):
            raise TrainingError(
                f"the validation loss is not finite after epoch {epoch}: lower lr, or look for "
                "extreme values in the validation rows"
            )
        append(self.history.validation, found)
        self.best.look(self.model, found["loss"], epoch)
        return found["loss"]

    def _columns(self) -> dict[str, list[float]]:
        validation = {f"validation {k}": v for k, v in self.history.validation.items()}
        return self.history.losses | validation


def check_losses(means: dict[str, float], epoch: int) -> None:
    """TrainingError unless every loss is finite."""
    bad = [name for name, mean in means.items() if not math.isfinite(mean)]
    if bad:
        raise TrainingError(
            f"the {' and '.join(bad)} loss is not finite in epoch {epoch}: lower lr or the "
            "loss's weight, or look for extreme values in the features"
        )


@torch.no_grad()
def _check_weights(model: nn.Module, epoch: int) -> None:
    """The last step of an epoch shows in no loss of it."""
    finite = [weight.isfinite().all() for weight in model.parameters()]  # each ()
    if not torch.stack(finite).all():
        raise TrainingError(broken(epoch))


def broken(epoch: int) -> str:
    """What a TrainingError says of weights."""
    return f"the weights are not finite after epoch {epoch}: lower lr or the losses' weights"
