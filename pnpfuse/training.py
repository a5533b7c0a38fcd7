"""Train a fusion model on the training rows of some views."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from pnpfuse.data import Views
from pnpfuse.evaluation import check_views, evaluate, rows_for
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.fusion.widths import check_count

__all__ = ["History", "TrainingError", "evaluate", "fit", "load_model", "save_model"]

WEIGHTS = {"preservation": 0.1}


class TrainingError(RuntimeError):
    """The training cannot go on: a loss is no longer finite."""


@dataclass(frozen=True)
class History:
    """The losses of a training run.

    Attributes
    ----------
    losses : {name: one mean over the training rows for each epoch}; "task" is the cross-entropy,
        the others are the model's own losses before weighting
    settings : what `fit` was called with
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
        dataset.attrs = {"package": "pnpfuse", "version": version("pnpfuse"), **self.settings}
        dataset.attrs["outcome"] = "completed"
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
    model : moved to `device`, left there in evaluation mode
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
        when a loss stops being finite; says in which epoch
    """
    train = check_views(model, views, "train")
    epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
    seed = check_count("seed", seed, least=0)
    weighting = dict(WEIGHTS if weights is None else weights)
    for argument, number in {"lr": lr, "weight_decay": weight_decay, **weighting}.items():
        if not np.isfinite(number) or number < 0:
            raise ValueError(f"{argument} must be a finite number of at least 0; found {number!r}")
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
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), bar:
        torch.manual_seed(seed)  # dropout
        for epoch in bar:
            order = torch.randperm(len(train), generator=shuffle).to(where)  # (rows,)
            sums: dict[str, Tensor] = {}
            for rows in order.split(batch_size):
                batch = {m: X[rows] for m, X in features.items()}  # (batch, d)
                output = model(batch, labels=labels[rows])
                task = cross_entropy(output.logits, labels[rows])  # ()
                loss = task
                for name, value in output.losses.items():
                    loss = loss + _weight(weighting, name) * value
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                for name, value in {"task": task, **output.losses}.items():
                    # Stays on the device: reading it here would stall every step.
                    sums[name] = sums.get(name, 0) + value.detach() * len(rows)
            means = (torch.stack(list(sums.values())) / len(train)).tolist()
            _record(losses, dict(zip(sums, means, strict=True)), epoch)
            bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in losses.items()})
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
    return History(losses, settings)


def choose_device(device: str | torch.device) -> torch.device:
    """The device meant by `device`; "auto" is the GPU if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<i>'; found {device!r}"
        ) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but no GPU is available; use 'cpu' or 'auto'")
    return chosen


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
