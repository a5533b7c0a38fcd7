"""Train a fusion model on the training rows of some views."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from pnpfuse.data import Views
from pnpfuse.evaluation import check_views, rows_for
from pnpfuse.fusion.arguments import check_count, check_number
from pnpfuse.fusion.model import FusionModel
from pnpfuse.provenance import provenance

__all__ = ["History", "TrainingError", "fit"]

WEIGHTS = {"preservation": 0.1}
MOST_LR = 1e37  # Adam's first step is ten times the rate, which has to be a float32


class TrainingError(RuntimeError):
    """The training cannot go on: a loss or a weight is no longer finite."""


@dataclass(frozen=True)
class History:
    """The losses of a training run.

    Attributes
    ----------
    losses : {name: one mean over the training rows for each epoch}; "task" is the cross-entropy,
        the others are the model's own losses before weighting
    settings : what `fit` was called with; "note" names classes without a training row
    """

    losses: dict[str, list[float]]
    settings: dict[str, Any] = field(default_factory=dict)

    def to_dataset(self) -> xr.Dataset:
        """Dataset over `epoch` (from 1) with one variable ``<name>_loss`` for each loss."""
        epochs = np.arange(1, len(self.losses["task"]) + 1)
        dataset = xr.Dataset(
            {
                f"{name}_loss": (
                    "epoch",
                    np.asarray(values),
                    {"units": "1", "long_name": f"{name} loss, mean over the training rows"},
                )
                for name, values in self.losses.items()
            },
            coords={"epoch": ("epoch", epochs, {"units": "1", "long_name": "epoch"})},
        )
        dataset.attrs = provenance("losses of a training", **self.settings)
        return dataset


def fit(
    model: FusionModel,
    views: Views,
    *,
    epochs: int = 30,
    seed: int = 0,
    device: str | torch.device = "auto",
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    weights: Mapping[str, float] | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place with AdamW and a cosine schedule; hands back the losses.

    Parameters
    ----------
    model : moved to `device`, left there in evaluation mode, after an error too
    views : only the rows with split 0 are used, for the standardisation too
    epochs, batch_size : whole numbers of at least 1
    seed : of the shuffling and of dropout. The same seed, model weights and device give the same
        numbers; the caller's random state is not touched.
    device : "auto" takes the GPU if there is one
    lr, weight_decay : of AdamW; the rate falls to 0 along a cosine, step by step
    weights : {loss: weight} for the model's own losses; None, 0.1 for "preservation"
    progress : show a bar, if the output is a terminal

    Raises
    ------
    ValueError
        for views that do not fit the model, a loss without a weight, or a bad number
    TrainingError
        when a loss or a weight stops being finite; says in which epoch
    """
    train = check_views(model, views, "train")
    epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
    seed = check_count("seed", seed, least=0)
    lr = check_number("lr", lr, most=MOST_LR)
    weight_decay = check_number("weight_decay", weight_decay)
    weighting = _weighting(weights)
    where = choose_device(device)
    model.to(where)
    features, labels = rows_for(model, train)  # each (rows, d), (rows,)
    model.set_scale(features)
    steps = -(-len(train) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    shuffle = torch.Generator().manual_seed(seed)
    losses: dict[str, list[float]] = {}

    model.train()
    bar = tqdm(range(1, epochs + 1), desc=model.name, disable=None if progress else True)
    try:
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), bar:
            torch.manual_seed(seed)  # dropout
            for epoch in bar:
                order = torch.randperm(len(train), generator=shuffle).to(where)  # (rows,)
                sums: dict[str, Tensor] = {}
                for rows in order.split(batch_size):
                    batch = {m: X[rows] for m, X in features.items()}  # (batch, d)
                    values = _step(model, batch, labels[rows], optimizer, weighting)
                    schedule.step()
                    for name, value in values.items():
                        # Stays on the device: reading it here would stall every step.
                        sums[name] = sums.get(name, 0) + value * len(rows)
                means = (torch.stack(list(sums.values())) / len(train)).tolist()
                _record(losses, dict(zip(sums, means, strict=True)), epoch)
                _check_weights(model, epoch)
                bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in losses.items()})
    finally:
        model.eval()
    settings = {
        "model": model.name,
        "options": json.dumps(model.options),
        "data": views.name,
        "rows": len(train),
        "epochs": epochs,
        "seed": seed,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "weights": json.dumps(weighting),
        "device": where.type,
    }
    untrained = sorted(set(range(views.classes)) - set(train.labels.tolist()))
    if untrained:
        named = ", ".join(views.class_names[k] for k in untrained)
        settings["note"] = f"no training rows for the classes: {named}"
    return History(losses, settings)


def choose_device(device: str | torch.device) -> torch.device:
    """The device meant by `device`; "auto" is the GPU if there is one, else the CPU."""
    if not isinstance(device, (str, torch.device)):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<i>'; found {device!r}")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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


def _weighting(weights: Mapping[str, float] | None) -> dict[str, float]:
    if weights is None:
        return dict(WEIGHTS)
    if not isinstance(weights, Mapping):
        raise ValueError(f"weights must be a mapping {{loss: weight}}; found {weights!r}")
    return {str(name): check_number(f"weights[{name!r}]", w) for name, w in weights.items()}


def _step(
    model: FusionModel,
    batch: dict[str, Tensor],
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    weighting: dict[str, float],
) -> dict[str, Tensor]:
    """One step down the weighted sum of the losses; the losses before it, each ()."""
    output = model(batch, labels=labels)
    task = cross_entropy(output.logits, labels)  # ()
    loss = task
    for name, value in output.losses.items():
        loss = loss + _weight(weighting, name) * value
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {name: value.detach() for name, value in {"task": task, **output.losses}.items()}


def _weight(weighting: dict[str, float], name: str) -> float:
    if name not in weighting:
        raise ValueError(f"weights has no entry for the loss {name!r}; found {weighting}")
    return weighting[name]


def _record(losses: dict[str, list[float]], means: dict[str, float], epoch: int) -> None:
    bad = [name for name, mean in means.items() if not np.isfinite(mean)]
    if bad:
        raise TrainingError(
            f"the {' and '.join(bad)} loss is not finite in epoch {epoch}: lower lr or the "
            "loss's weight, or look for extreme values in the features"
        )
    for name, mean in means.items():
        losses.setdefault(name, []).append(mean)


@torch.no_grad()
def _check_weights(model: FusionModel, epoch: int) -> None:
    """The last step of an epoch shows in no loss of it."""
    finite = [weight.isfinite().all() for weight in model.parameters()]  # each ()
    if not torch.stack(finite).all():
        raise TrainingError(
            f"the weights are not finite after epoch {epoch}: lower lr or the losses' weights"
        )
