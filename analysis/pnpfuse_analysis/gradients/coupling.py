"""What couples the samples of a batch, so that a row's gradient is not a sample's own."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.batchnorm import _BatchNorm

from .ancestry import between, maker

OPERATOR = (
    "Batch normalisation in training mode lies between the point and the losses and couples the "
    "samples: a row is the gradient of the batch's loss with respect to that sample's activation, "
    "not of the sample's own loss."
)
BY_WORD = (
    "The losses couple the samples of a batch: a row is the gradient of the batch's loss with "
    "respect to that sample's activation, not of the sample's own loss."
)


def coupling(
    losses: Iterable[Tensor], points: Iterable[Tensor | Node], coupled: bool = False
) -> tuple[str, ...]:
    """Return a warning for each known coupling of samples between the points and the losses.

    A point is a tensor, or the node of the graph that makes it. Batch normalisation is found in the
    graph of autograd; that a loss is contrastive cannot be seen there, so `coupled` takes the
    user's word for it.
    """
    found = (BY_WORD,) if coupled else ()
    ends = [maker(p) if isinstance(p, Tensor) else p for p in points]
    return found + ((OPERATOR,) if any(map(_normalises, between(losses, ends))) else ())


def normalises(module: nn.Module) -> bool:
    """Whether a module is batch normalisation by the statistics of its batch."""
    return isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)


def _normalises(node):
    name = node.name()
    return ("BatchNorm" in name or "batch_norm" in name) and getattr(node, "_saved_training", True)
