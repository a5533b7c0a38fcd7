"""What a training leaves behind: its losses, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse.provenance import provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = dict[str, list[float]]
BOUNDS = {
    "bound": "lower bound on I(z1; z2 | T) on the validation rows, mean over the pairs",
    "tight_bound": "another lower bound by the same critic, without that ceiling",
    "printed_bound": "the first with the sign of the constant as InfoBridge prints it",
    "ceiling": "the most that the first bound can be",
}


@dataclass(frozen=True)
class History:
    """The losses of a training run.

    Attributes
    ----------
    losses : {name: one mean over the training rows for each epoch}; "task" is the cross-entropy,
        the others are the model's own losses before weighting
    settings : what `fit` was called with; "note" names classes without a training row
    validation : {"loss": ..., "accuracy": ...} on the validation rows after each epoch, and what
        a model says of the information between its modalities there ("bound", see
        docs/infobridge.md); empty without such rows
    rates : {group of parameters: its learning rate in the first step of each epoch}; "block" is
        among them if it has a rate of its own
    variances : {loss: sigma^2 after each epoch} of ``weighting="homoscedastic"``
    best_epoch : the epoch, from 1, whose weights the model has after early stopping, else None
    weights : {loss: its weight at the mean losses of each epoch} of ``weighting="printed"`` and
        "printed-trained"
    """

    losses: Columns
    settings: dict[str, Any] = field(default_factory=dict)
    validation: Columns = field(default_factory=dict)
    rates: Columns = field(default_factory=dict)
    variances: Columns = field(default_factory=dict)
    best_epoch: int | None = None
    weights: Columns = field(default_factory=dict)

    def to_dataset(self) -> xr.Dataset:
        """Dataset over `epoch` (from 1).

        One variable ``<name>_loss`` for each loss; ``validation_loss``, ``validation_accuracy``,
        ``validation_bound``, ``validation_tight_bound``, ``validation_printed_bound`` and
        ``validation_ceiling`` (in nat), ``<name>_variance``,
        ``<name>_weight``, ``learning_rate`` and ``block_learning_rate`` where there are any.
        """
        columns = {
            f"{name}_loss": (values, f"{name} loss, mean over the training rows")
            for name, values in self.losses.items()
        }
        columns |= {
            f"validation_{name}": (values, BOUNDS.get(name, f"{name} on the validation rows"))
            for name, values in self.validation.items()
        }
        columns |= {
            f"{name}_variance": (values, f"learned variance of the {name} loss")
            for name, values in self.variances.items()
        }
        columns |= {
            f"{name}_weight": (values, f"weight of the {name} loss at the epoch's mean losses")
            for name, values in self.weights.items()
        }
        columns |= {
            "learning_rate" if group == "rest" else f"{group}_learning_rate": (
                values,
                f"learning rate in the first step of the epoch, parameter group {group}",
            )
            for group, values in self.rates.items()
        }
        epochs = np.arange(1, len(self.losses["task"]) + 1)
        dataset = xr.Dataset(
            {
                name: ("epoch", np.asarray(values), {"units": _unit(name), "long_name": long_name})
                for name, (values, long_name) in columns.items()
            },
            coords={"epoch": ("epoch", epochs, {"units": "1", "long_name": "epoch"})},
        )
        outcome = {} if self.best_epoch is None else {"best_epoch": self.best_epoch}
        dataset.attrs = provenance("losses of a training", **self.settings, **outcome)
        return dataset

    def plot(self) -> Figure:
        """Losses, validation and learning rates over the epochs."""
        from pnpfuse.figures import history_figure

        return history_figure(self.to_dataset())


def _unit(name: str) -> str:
    return "nat" if name.removeprefix("validation_") in BOUNDS else "1"


def append(columns: Columns, values: dict[str, float]) -> None:
    """One more epoch."""
    for name, value in values.items():
        columns.setdefault(name, []).append(value)
