"""Optimisers, their parameter groups, and how the rate falls during a training."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
)

from pnpfuse.fusion.arguments import check_choice, check_number

MOST_LR = 1e37  # Adam's first step is ten times the rate, which has to be a float32
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "step", "plateau", "constant")
PLATEAU_STEPS = 1000
DROP = 0.1

# What the papers print, as arguments of `fit`: PMR Table 8 and appendix A.2, GMF Table 5.
RECIPES: dict[str, dict[str, Any]] = {
    "pmr-sgd": {
        "optimizer": "sgd",
        "schedule": "step",
        "lr": 1e-2,
        "weight_decay": 1e-4,
        "block_lr": 2.5e-4,
        "block_weight_decay": 1e-4,
        "batch_size": 64,
        "epochs": 20,
    },
    "pmr-adamw": {
        "optimizer": "adamw",
        "schedule": "cosine",
        "lr": 1e-4,
        "weight_decay": 5e-2,
        "block_lr": 2.5e-4,
        "block_weight_decay": 1e-4,
        "batch_size": 256,
        "epochs": 10,
        "precision": "bf16",
    },
    "gmf": {
        "optimizer": "sgd",
        "schedule": "plateau",
        "lr": 1e-2,
        "weight_decay": 1e-4,
        "batch_size": 64,
        "epochs": 20,
    },
}


def param_groups(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    block_lr: float | None = None,
    block_weight_decay: float | None = None,
    block: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups for any optimizer of torch: the fusion block apart from the rest.

    PMR appendix A.2 trains the block with "an additional SGD" (rate 2.5e-4, weight decay 1e-4).
    Two optimizers that follow one loss are one optimizer with two groups.

    Parameters
    ----------
    model : of `create_model`, the same inside DistributedDataParallel, or any module with `block`
    lr, weight_decay : of encoders and head
    block_lr, block_weight_decay : of the fusion block; None, the same as the rest
    block : the fusion block within `model`; None, ``model.block``

    Returns
    -------
    list of dict
        With "name" ("rest" or "block"), "params", "lr" and "weight_decay". Every parameter that
        takes a gradient stands in exactly one group; a group without parameters (the block of
        "concat", an SRHT block) is left out.
    """
    model = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    if block is None and not hasattr(model, "block"):
        raise ValueError(
            f"block must be given for a {type(model).__name__}, which has no attribute block"
        )
    block = model.block if block is None else block  # type: ignore[assignment]
    inside = [] if block is None else list(block.parameters())
    known = {id(weight) for weight in inside}
    rate, decay = check_rate("lr", lr), check_number("weight_decay", weight_decay)
    own_rate = rate if block_lr is None else check_rate("block_lr", block_lr)
    own_decay = decay
    if block_weight_decay is not None:
        own_decay = check_number("block_weight_decay", block_weight_decay)
    outside = [weight for weight in model.parameters() if id(weight) not in known]
    groups = [
        {"name": "rest", "params": _trained(outside), "lr": rate, "weight_decay": decay},
        {"name": "block", "params": _trained(inside), "lr": own_rate, "weight_decay": own_decay},
    ]
    return [group for group in groups if group["params"]]


def check_rate(argument: str, value: Any) -> float:
    """`value` as a learning rate."""
    return check_number(argument, value, most=MOST_LR)


def make_optimizer(
    name: str, groups: list[dict[str, Any]], fused: bool | None = None
) -> torch.optim.Optimizer:
    """ "adamw", or "sgd" with momentum 0.9 (PMR Table 8, GMF Table 5), over `groups`.

    `fused` is passed on to torch: one kernel an update, with other rounding.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    if not groups:
        raise ValueError("model has no parameter that takes a gradient; there is nothing to train")
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=fused)
    return torch.optim.SGD(groups, momentum=0.9, fused=fused)


class Schedule:
    """How the rates of all groups fall during a training.

    Parameters
    ----------
    kind : what follows
        "cosine" : to 0 along half a cosine, step by step (PMR A.2 with AdamW)
        "step" : to a tenth after half and after three quarters of all steps. PMR A.2 says
            MultiStep for SGD and no more; these milestones are those of He et al. 2016
        "plateau" : to a tenth once the loss (that of the validation rows, if there are some) has
            not fallen for 1000 steps (GMF Table 5), counted in whole epochs
        "constant" : not at all
        callable : share of the training done, 0 to 1 -> factor of the rate
    optimizer : its groups begin with the full rate
    epochs, steps : of the training, and in an epoch
    """

    def __init__(
        self,
        kind: str | Callable[[float], float],
        optimizer: torch.optim.Optimizer,
        epochs: int,
        steps: int,
    ):
        total = epochs * steps
        self.scheduler: LRScheduler
        if callable(kind):
            factor = kind
            self.scheduler = LambdaLR(optimizer, lambda step: factor(step / total))
        elif check_choice("schedule", kind, SCHEDULES) == "cosine":
            self.scheduler = CosineAnnealingLR(optimizer, total)
        elif kind == "plateau":
            patience = math.ceil(PLATEAU_STEPS / steps)
            self.scheduler = ReduceLROnPlateau(optimizer, factor=DROP, patience=patience)
        else:
            milestones = [total // 2, total * 3 // 4] if kind == "step" else []
            self.scheduler = MultiStepLR(optimizer, milestones, DROP)

    def after_step(self) -> None:
        """To be called after every step of the optimizer."""
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def after_epoch(self, loss: float) -> None:
        """To be called at the end of every epoch, with the loss that a plateau is looked for in."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(loss)

    def state(self) -> dict[str, Any]:
        """The numbers that change during a training; the rates stand in the optimizer."""
        kept = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs")
        return {key: value for key, value in vars(self.scheduler).items() if key in kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        vars(self.scheduler).update(state)


def _trained(weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [weight for weight in weights if weight.requires_grad]
