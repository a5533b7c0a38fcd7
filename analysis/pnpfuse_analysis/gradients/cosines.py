"""Conflict between losses: cosines of their gradients at a tensor, overall and for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from pnpfuse_analysis.samples import check_choice

from .accumulation import accumulated
from .conflict import GradReport, check_eps, compare, inverse, products
from .coupling import coupling
from .magnitude import unit
from .passes import filled, reached
from .points import as_points, check_axis, check_dim, check_flag, check_losses


def grad_cosine(
    losses: Mapping[str, Tensor],
    at: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
    *,
    main: str,
    per_sample: bool | None = None,
    batch_dim: int = 0,
    eps: float = 0.0,
    retain_graph: bool | None = None,
    accumulate: bool = False,
    reduction: Literal["as_given", "sum"] = "as_given",
    scale: Any = None,
    coupled: bool = False,
) -> GradReport:
    """Return the cosines between the gradient of the main loss and those of the others.

    Parameters
    ----------
    losses : mapping of str to scalar Tensor
        The main loss and at least one other, with their graphs.
    at : Tensor, or sequence or mapping of Tensor
        Where to take the gradients: the very tensors that the losses were computed from (a later
        view or copy is not in their graph). At activations the gradients split by samples; at
        parameters they do not. Several tensors count as one, flattened and concatenated.
    main : str
        Key of the main loss.
    per_sample : bool or None
        Compare sample by sample as well, along `batch_dim`; None does so unless `at` holds an
        `nn.Parameter`.
    batch_dim : int
        The axis of samples, of the same length in every tensor.
    eps : float
        A gradient of norm <= eps has no direction: its cosines are NaN and count as undefined.
    retain_graph : bool or None
        Keep the graph for a later backward pass. If False, the last gradient frees it. None keeps
        it unless `accumulate` makes that pass superfluous.
    accumulate : bool
        Add the gradients to `.grad` of every leaf, parameters outside `at` included, as
        `sum(losses.values()).backward()` would: a training step then needs no further pass.
    reduction : {"as_given", "sum"}
        "sum" multiplies the gradients by N, so that inner products and norms of losses that are
        means over N samples become those of sums: a row is then the sample's own gradient.
    scale : None, number, scalar Tensor or GradScaler
        What the losses were multiplied by: inner products are divided by its square. To be passed
        before `scaler.update()`.
    coupled : bool
        The losses couple the samples of a batch, as contrastive ones do: the report warns of it.

    Returns
    -------
    GradReport

    Raises
    ------
    ValueError
        If main is not among the losses, or alone; a loss is no real scalar, or its graph is freed;
        per_sample is True for a parameter; `at` holds anything but real tensors that require a
        gradient, have the axis batch_dim and share its length; eps is not a number >= 0;
        reduction is "sum" without samples; scale is none of the above; or none of the losses
        depends on `at`.

    Notes
    -----
    A loss that does not depend on `at` has the gradient zero, hence the cosine NaN. There is one
    backward pass for each loss, and no transfer to the CPU. `.grad` is left alone unless
    `accumulate` is set. DistributedDataParallel exchanges gradients in one backward pass a step, so
    `accumulate` is not for models under it; nor for optimisers that step from hooks after a leaf
    has accumulated.

    For a loss that is the mean over N samples the rows of its gradient are g_i / N: cosines do not
    mind, inner products and norms do. With batch normalisation in training mode behind `at`, or a
    contrastive loss, samples are coupled: a row is then the gradient of the whole batch's loss with
    respect to that sample's activation, not of the sample's own loss. `warnings` says so for batch
    normalisation, and for losses declared `coupled`. The cosine over all entries, the mean of the
    samples' cosines and the conflict rate measure different things and may differ in sign.

    Cosine between task gradients as a measure of conflict: Yu et al., "Gradient surgery for
    multi-task learning", arXiv:2001.06782.
    """
    check_losses(losses, main)
    for name, flag in {"accumulate": accumulate, "coupled": coupled}.items():
        check_flag(flag, name)
    for name, choice in {"per_sample": per_sample, "retain_graph": retain_graph}.items():
        if choice is not None:
            check_flag(choice, name)
    check_dim(batch_dim)
    points = as_points(at)
    weights = any(isinstance(point, torch.nn.Parameter) for point in points)
    if per_sample and weights:
        raise ValueError(
            "per_sample must not be True for parameters, found an nn.Parameter in at: its first "
            "axis counts units, not samples; leave per_sample out"
        )
    per_sample = not weights if per_sample is None else per_sample
    if per_sample:
        check_axis(points, batch_dim)
    check_eps(eps)
    check_choice(reduction, "reduction", ("as_given", "sum"))
    factor = inverse(scale, points[0].device)
    if reduction == "sum":
        if not per_sample:
            raise ValueError(
                "reduction must be 'as_given' where samples are not told apart, found 'sum'; "
                "multiply the losses by the number of samples"
            )
        factor = factor * points[0].shape[batch_dim]
    names = tuple(name for name in losses if name != main)
    order = [losses[main], *(losses[name] for name in names)]
    warnings = coupling(order, points, coupled) if per_sample else ()
    retain_graph = not accumulate if retain_graph is None else retain_graph
    take = _accumulated if accumulate else _products
    gram, sizes = take(order, points, retain_graph, batch_dim if per_sample else None)
    if gram is None:
        raise ValueError(
            "at must be the very tensors that the losses were computed from, found none that any "
            "loss depends on; pass the tensor itself, not a copy, slice or view taken later"
        )
    return compare(gram, main, names, eps=eps, sizes=sizes * factor, warnings=warnings)


def _accumulated(*given):
    # In inference mode `.grad` would become a tensor that no optimiser may change.
    with torch.inference_mode(False):
        # Met one by one, gradients have no size in common.
        return accumulated(*given), 1.0


def _products(losses, points, retain_graph, batch_dim):
    """The inner products at the points, None if no loss depends on any; and what sizes to add."""
    found = reached(losses, points, retain_graph)
    if all(one is None for row in found for one in row):
        return None, 1.0
    gradients, sizes = unit(filled(points, found))
    return products(gradients, batch_dim), sizes
