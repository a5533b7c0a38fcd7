"""Model, task loss and weighting as one module: what several processes train together."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.precision import widen
from pnpfuse.weighting import TASK, Losses

PRECISIONS = ("float32", "bf16")


class Objective(nn.Module):
    """The losses of a batch and their weighted sum.

    Parameters
    ----------
    model : a whole model
    weigh : module that sums the losses up; None leaves that to an aggregator
    precision : "float32", the model's own dtype; "bf16", autocast
    """

    def __init__(self, model: FusionModel, weigh: nn.Module | None, precision: str):
        super().__init__()
        self.model = model
        self.weigh = weigh
        self.precision = precision

    def forward(
        self, features: dict[str, Tensor], present: dict[str, Tensor] | None, labels: Tensor
    ) -> tuple[Tensor | None, Losses]:
        """The sum () or None, and every loss () by name, "task" (the cross-entropy) first.

        Parameters
        ----------
        features : {modality: (batch, d)}
        present : {modality: bool (batch,)}, or None if nothing is absent
        labels : int64 (batch,)
        """
        with autocast(labels.device, self.precision):
            output = self.model(features, present, labels=labels)
        # Eight bits are too few for a logarithm or a sum of losses.
        losses = {TASK: cross_entropy(widen(output.logits), labels)}
        losses |= {name: widen(value) for name, value in output.losses.items()}
        return None if self.weigh is None else self.weigh(losses), losses


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a model computes with `precision`."""
    enabled = check_choice("precision", precision, PRECISIONS) == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
