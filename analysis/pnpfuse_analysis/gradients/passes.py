"""Backward passes that leave `.grad` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .points import kept_graph


def filled(
    points: Sequence[Tensor], gradients: Sequence[Sequence[Tensor | None]]
) -> list[tuple[Tensor, ...]]:
    """Return the gradients, one row of them a loss, with zeros for None."""
    return [
        tuple(
            torch.zeros_like(point) if one is None else one
            for point, one in zip(points, row, strict=True)
        )
        for row in gradients
    ]


def reached(
    losses: Sequence[Tensor],
    points: Sequence[Any],
    retain_graph: bool = True,
) -> list[tuple[Tensor | None, ...]]:
    """Return for each loss its gradients at the points, None where it does not depend on one.

    Points are tensors, or the edges of the graph where a gradient arrives.
    """
    found: list[tuple[Tensor | None, ...]] = []
    for place, loss in enumerate(losses):
        if not loss.requires_grad:
            found.append((None,) * len(points))
            continue
        keep = retain_graph or place < len(losses) - 1
        with kept_graph():
            found.append(torch.autograd.grad(loss, points, retain_graph=keep, allow_unused=True))
    return found
