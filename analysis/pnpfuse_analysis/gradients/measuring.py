"""One measurement at one point of a model: what adds up over steps, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pnpfuse_analysis.samples import widest

from .conflict import Tally, cosines, dense, gramian, sample_gramian
from .coupling import coupling
from .passes import filled
from .processes import add_up, processes

_NOTHING = (
    "No tensor that the losses depend on has passed this point since the last step: it may not "
    "have been called, or under torch.no_grad(), with whole numbers only, inside a checkpoint with "
    "use_reentrant=True or inside a compiled region."
)
_OVERRUN = (
    "More than {most} calls have passed this point since the last step, and only the last {most} "
    "count; run what is not trained on under torch.no_grad(), or call step after each step."
)
_FROZEN = "No parameter at this point requires a gradient."
_UNEVEN = (
    "The tensors at this point do not share the axis of samples, so they are only compared as a "
    "whole."
)


class Measured(NamedTuple):
    """What was found at a point.

    Attributes
    ----------
    tally : Tally
        Of the samples of all processes.
    sample_gram : Tensor, shape (N, 1 + L, 1 + L), or None
    sample_cosine : Tensor, shape (N, L), or None
        Of this process's samples.
    warnings : tuple of str
    """

    tally: Tally
    sample_gram: Tensor | None = None
    sample_cosine: Tensor | None = None
    warnings: tuple[str, ...] = ()


def at_parameters(
    losses: Sequence[Tensor],
    parameters: Sequence[Tensor],
    gradients: Sequence[Sequence[Tensor | None]],
    *,
    factor: Tensor | float = 1.0,
    group: Any = None,
) -> Measured:
    """Return what gradients at parameters say; one row of them a loss, None for zero.

    Over processes the gradients are averaged before they are compared: inner products of averages
    are not averages of inner products.
    """
    if not parameters:
        return Measured(Tally(_zeros(losses), None), warnings=(_FROZEN,))
    rows = filled(parameters, gradients)
    count = processes(group)
    if count > 1:
        joined = [torch.cat([dense(one).reshape(-1) for one in row]) for row in rows]
        rows = [(add_up(row, group) / count,) for row in joined]
    return Measured(Tally(gramian(rows) * factor, None))


def at_activations(
    losses: Sequence[Tensor],
    calls: Sequence[Sequence[Tensor]],
    gradients: Sequence[Sequence[Tensor | None]],
    *,
    batch_dim: int,
    eps: float,
    coupled: bool,
    overrun: bool = False,
    factor: Tensor | float = 1.0,
    group: Any = None,
) -> Measured:
    """Return what gradients at the tensors of a module's calls say; rows as in `at_parameters`.

    Tensors that no loss depends on, as those of an evaluation in between, are left out.
    """
    tensors = [tensor for call in calls for tensor in call]
    kept = [i for i in range(len(tensors)) if any(row[i] is not None for row in gradients)]
    points = [tensors[i] for i in kept]
    rows = filled(points, [[row[i] for i in kept] for row in gradients])
    nothing = _zeros(losses)
    counts = nothing.new_zeros(3, len(losses) - 1)
    warnings: tuple[str, ...] = (_OVERRUN.format(most=len(calls)),) if overrun else ()
    if not points:
        return Measured(_over(Tally(nothing, counts), group), warnings=(*warnings, _NOTHING))
    warnings += coupling(losses, points, coupled)
    used = {place for place, call in enumerate(calls) for t in call if any(t is p for p in points)}
    if len(used) > 1:
        warnings += (f"The module ran {len(used)} times; what passed counts as one point.",)
    if not _even(points, batch_dim):
        gram = gramian(rows) * factor / processes(group) ** 2
        return Measured(_over(Tally(gram, counts), group), warnings=(*warnings, _UNEVEN))
    sample_gram = sample_gramian(rows, batch_dim) * factor / processes(group) ** 2
    each = cosines(sample_gram, eps)
    return Measured(_over(Tally.of(sample_gram.sum(0), each), group), sample_gram, each, warnings)


def _zeros(losses):
    size, device = len(losses), losses[0].device
    return torch.zeros(size, size, dtype=widest(device), device=device)


def _over(tally, group):
    """The tally of the samples of all processes."""
    size = tally.gram.numel()
    both = add_up(torch.cat((tally.gram.reshape(-1), tally.counts.reshape(-1))), group)
    return Tally(both[:size].view_as(tally.gram), both[size:].view_as(tally.counts))


def _even(points, batch_dim):
    if any(not -point.ndim <= batch_dim < point.ndim for point in points):
        return False
    return len({point.shape[batch_dim] for point in points}) == 1
