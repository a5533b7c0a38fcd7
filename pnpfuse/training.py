"""Train a fusion model on the training rows of some views."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from pnpfuse.batches import rows_of
from pnpfuse.checkpoints import (
    check_same,
    fingerprint,
    read_checkpoint,
    told_apart,
    write_checkpoint,
)
from pnpfuse.data import Views
from pnpfuse.distributed import from_first, local_device, rank, share_state, world
from pnpfuse.evaluation import check_views
from pnpfuse.fusion.arguments import check_choice, check_count, check_number
from pnpfuse.fusion.model import FusionModel
from pnpfuse.history import History
from pnpfuse.objective import PRECISIONS
from pnpfuse.optimisers import RECIPES, Schedule, check_rate, make_optimizer, param_groups
from pnpfuse.trainer import Trainer, TrainingError
from pnpfuse.validation import split_validation
from pnpfuse.weighting import (
    Aggregate,
    FixedWeights,
    Homoscedastic,
    PrintedWeights,
    make_weighting,
    name_of,
)

__all__ = ["RECIPES", "History", "TrainingError", "fit", "param_groups"]


def fit(
    model: FusionModel,
    views: Views,
    *,
    epochs: int = 30,
    seed: int = 0,
    device: str | torch.device = "auto",
    batch_size: int = 128,
    optimizer: str = "adamw",
    schedule: str | Callable[[float], float] = "cosine",
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    block_lr: float | None = None,
    block_weight_decay: float | None = None,
    weights: Mapping[str, float] | None = None,
    weighting: str | Aggregate = "fixed",
    validation: float | Views = 0.0,
    patience: int | None = None,
    precision: str = "float32",
    clip: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = True,
    progress: bool = True,
) -> History:
    """Train `model` in place; hands back the losses.

    Inside a process group of torch.distributed every process takes its shard of each batch, and
    all end with the same weights; the first alone writes and shows a bar. See docs/training.md.

    Parameters
    ----------
    model : moved to `device`, left there in evaluation mode, after an error too
    views : only the rows with split 0 are used, for the standardisation too
    epochs, batch_size : whole numbers of at least 1; a batch is that of all processes together
    seed : of the shuffling, of dropout and of the draw of validation rows. The same seed, model
        weights and device give the same numbers; the caller's random state is not touched.
    device : "auto" takes the GPU if there is one
    optimizer : "adamw", or "sgd" with momentum 0.9
    schedule : "cosine", to 0 step by step; "step", "plateau", "constant", or a function of the
        share of the training done that gives the factor of the rate: see `Schedule`
    lr, weight_decay : of the optimizer
    block_lr, block_weight_decay : of the fusion block's parameters; None, the same. Without
        effect for a block that has none.
    weights : {loss: weight} for some of the model's own losses; the others, and all for None,
        keep the method's own weight, ``model.loss_weights``
    weighting : "fixed", the sum with `weights`; "homoscedastic", learned variances; "printed" and
        "printed-trained", weights that a network makes of the losses, see
        `pnpfuse.weighting.PrintedWeights`; or a function of (losses, model) that does the backward
        pass, losses being {name: ()} with "task"
    validation : share of the training rows to hold back, stratified, or views whose rows are all
        used; their loss and accuracy are recorded after each epoch, and the bounds of a model that
        has some
    patience : stop after so many epochs without a lower validation loss, and give the model the
        weights of the epoch with the lowest; None, train to the end and keep the last
    precision : "float32", or "bf16" for autocast (the weights stay as they are)
    clip : largest norm of the gradient over all parameters of the model
    checkpoint : folder for the state of the training, written every `checkpoint_every` epochs and
        at the end. A training that was stopped, at whatever moment, goes on from there when it is
        called again, on the CPU to the same bits; one that was finished comes back at once.
    resume : False begins anew whatever the folder holds
    progress : show a bar, if the output is a terminal

    Raises
    ------
    ValueError
        for views that do not fit the model, an unknown loss, a bad number, a damaged checkpoint
        or one of a training with other settings
    TrainingError
        when a loss or a weight stops being finite; says in which epoch
    """
    train = check_views(model, views, "train")
    numbers = check_numbers(
        epochs, seed, batch_size, lr, weight_decay, block_lr, block_weight_decay, clip
    )
    patience = None if patience is None else check_count("patience", patience)
    every = check_count("checkpoint_every", checkpoint_every)
    check_choice("precision", precision, PRECISIONS)
    epochs, seed, batch_size = numbers["epochs"], numbers["seed"], numbers["batch_size"]
    weigh = make_weighting(model, weighting, weights, seed)
    kept, held = split_validation(model, train, validation, seed)
    if patience is not None and held is None:
        raise ValueError("patience needs validation rows; give validation, a share or views")
    if checkpoint is not None and not isinstance(checkpoint, (str, os.PathLike)):
        raise ValueError(f"checkpoint must be a folder; found {checkpoint!r}")
    where = choose_device(device)

    model.to(where)
    rows = rows_of(model, kept)
    rows.set_scale(model)
    rows.set_reference(model, seed)
    share_state(model)
    groups = param_groups(
        model,
        lr=numbers["lr"],
        weight_decay=numbers["weight_decay"],
        block_lr=block_lr,
        block_weight_decay=block_weight_decay,
    )
    if isinstance(weigh, Homoscedastic | PrintedWeights):
        weigh.to(where)
        learned = [weight for weight in weigh.parameters() if weight.requires_grad]
        own = {"name": "weighting", "params": learned, "lr": numbers["lr"], "weight_decay": 0.0}
        groups += [own] if learned else []
    descent = make_optimizer(optimizer, groups)
    trainer = Trainer(
        model,
        weigh,
        descent,
        Schedule(schedule, descent, epochs, -(-len(kept) // batch_size)),
        rows,
        len(kept),
        None if held is None else rows_of(model, held),
        0 if held is None else len(held),
        seed=seed,
        batch_size=batch_size,
        precision=precision,
        clip=numbers["clip"],
        patience=patience,
    )
    settings = record(
        model,
        views,
        kept,
        **numbers,
        optimizer=optimizer,
        schedule=name_of(schedule),
        weighting=name_of(weighting),
        weights=json.dumps(weigh.weights if isinstance(weigh, FixedWeights) else {}),
        validation=validation.name if isinstance(validation, Views) else float(validation),
        patience=patience,
        precision=precision,
        processes=world(),
    )
    functions = {"schedule": told_apart(schedule), "weighting": told_apart(weighting)}
    folder = None if checkpoint is None else Path(checkpoint)
    try:
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
            trainer.start()
            save = _keeper(folder, trainer, settings | functions, kept, held, epochs, every, resume)
            left = range(trainer.epoch + 1, epochs + 1)
            if not trainer.best.enough(trainer.epoch):
                shown = None if progress and rank() == 0 else True
                with tqdm(left, model.name, epochs, initial=trainer.epoch, disable=shown) as bar:
                    trainer.run(bar, save)
            trainer.finish()
    finally:
        model.eval()
    history = trainer.history
    return History(
        history.losses,
        settings | outcome(views, kept, where),
        history.validation,
        own_rates(history.rates),
        history.variances,
        trainer.best.epoch or None,
        history.weights,
    )


def record(model: FusionModel, views: Views, kept: Views, **settings: Any) -> dict[str, Any]:
    """What a training is known by: the model, the rows `kept` of `views`, and `settings`."""
    known = {
        "model": model.name,
        "options": json.dumps(model.options),
        "data": views.name,
        "rows": len(kept),
        **settings,
    }
    return {name: value for name, value in known.items() if value is not None}


def outcome(views: Views, kept: Views, where: torch.device) -> dict[str, Any]:
    """What the record of a training has beside its settings."""
    known = {"device": where.type}
    untrained = sorted(set(range(views.classes)) - set(kept.labels.tolist()))
    if untrained:
        named = ", ".join(views.class_names[k] for k in untrained)
        known["note"] = f"no training rows for the classes: {named}"
    return known


def choose_device(device: str | torch.device) -> torch.device:
    """The device meant by `device`; "auto" is the GPU if there is one, else the CPU."""
    if not isinstance(device, (str, torch.device)):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<i>'; found {device!r}")
    if device == "auto":
        return local_device() if torch.cuda.is_available() else torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # one that holds no values fails here
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<i>' and at hand; found {device!r}: "
            f"{reason}"
        ) from error
    return chosen


def check_numbers(
    epochs: Any,
    seed: Any,
    batch_size: Any,
    lr: Any,
    weight_decay: Any,
    block_lr: Any,
    block_weight_decay: Any,
    clip: Any,
) -> dict[str, Any]:
    """The numbers among the arguments of `fit`, checked."""
    numbers = {
        "epochs": check_count("epochs", epochs),
        "seed": check_count("seed", seed, least=0),
        "batch_size": check_count("batch_size", batch_size),
        "lr": check_rate("lr", lr),
        "weight_decay": check_number("weight_decay", weight_decay),
        "block_lr": None if block_lr is None else check_rate("block_lr", block_lr),
        "block_weight_decay": None
        if block_weight_decay is None
        else check_number("block_weight_decay", block_weight_decay),
        "clip": None if clip is None else check_number("clip", clip),
    }
    if numbers["clip"] == 0:
        raise ValueError(
            "clip=0 lets no gradient through; give a norm above 0, or None to clip none"
        )
    return numbers


def _keeper(
    folder: Path | None,
    trainer: Trainer,
    settings: dict[str, Any],
    kept: Views,
    held: Views | None,
    epochs: int,
    every: int,
    resume: bool,
) -> Callable[[], None]:
    """Take the trainer to where the checkpoint in `folder` stands; how to write the next ones."""
    if folder is None:
        return lambda: None
    known = settings | {"views": fingerprint(kept), "held": held and fingerprint(held)}
    state = from_first(lambda: read_checkpoint(folder)) if resume else None
    if state is not None:
        check_same(folder, state["settings"], known)
        try:
            trainer.restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"the checkpoint {folder} does not hold a state of this training: {error}"
            ) from error

    def save() -> None:
        done = trainer.epoch == epochs or trainer.best.enough(trainer.epoch)
        if done or trainer.epoch % every == 0:
            state = trainer.state() | {"settings": known}
            from_first(lambda: write_checkpoint(folder, state))

    return save


def own_rates(rates: dict[str, list[float]]) -> dict[str, list[float]]:
    """The block's rate only if it is another than the rest's."""
    return {k: v for k, v in rates.items() if k != "block" or v != rates.get("rest")}
