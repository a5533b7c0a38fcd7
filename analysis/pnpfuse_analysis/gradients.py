"""Conflict between losses: cosines of their gradients at a tensor, overall and for each sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from .samples import widest


@dataclass(frozen=True, eq=False)
class GradReport:
    """Gradients of several losses compared with that of the main one.

    L is the number of other losses, N that of samples. Tensors are float64 (float32 on MPS), on the
    device of the gradients.

    Attributes
    ----------
    main : str
        The loss that the others are compared with.
    names : tuple of str, length L
        The other losses, in the order given.
    cosine : Tensor, shape (L,)
        Cosine between the gradients over all entries; NaN where one of them vanishes.
    gram : Tensor, shape (1 + L, 1 + L)
        Inner products of the gradients, the main loss first. They carry the losses' scale.
    norms : Tensor, shape (1 + L,)
        Norms of the gradients, the main loss first.
    sample_cosine : Tensor, shape (N, L), or None
        Cosine for each sample; NaN where one gradient vanishes there.
    sample_gram : Tensor, shape (N, 1 + L, 1 + L), or None
        Inner products for each sample; they sum to `gram`.
    conflict_rate : Tensor, shape (L,), or None
        Share of samples with a negative cosine among those where it is defined; NaN if none is.
    undefined : Tensor, shape (L,), or None
        Share of samples where the cosine is not defined.
    """

    main: str
    names: tuple[str, ...]
    cosine: Tensor
    gram: Tensor
    norms: Tensor
    sample_cosine: Tensor | None = None
    sample_gram: Tensor | None = None
    conflict_rate: Tensor | None = None
    undefined: Tensor | None = None

    def __repr__(self) -> str:
        lines = [f"GradReport against {self.main!r}:"]
        for i, name in enumerate(self.names):
            line = f"  {name}: cosine {self.cosine[i].item():.4f}"
            if self.conflict_rate is not None and self.sample_cosine is not None:
                share = self.conflict_rate[i].item()
                line += f", negative in {share:.1%} of {len(self.sample_cosine)} samples"
            lines.append(line)
        return "\n".join(lines)


def grad_cosine(
    losses: Mapping[str, Tensor],
    at: Tensor | Sequence[Tensor],
    *,
    main: str,
    per_sample: bool | None = None,
    batch_dim: int = 0,
    eps: float = 0.0,
    retain_graph: bool = True,
) -> GradReport:
    """Return the cosines between the gradient of the main loss and those of the others.

    Parameters
    ----------
    losses : mapping of str to scalar Tensor
        The main loss and at least one other, with their graphs.
    at : Tensor or sequence of Tensor
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
    retain_graph : bool
        Keep the graph for a later backward pass. If False, the last gradient frees it.

    Returns
    -------
    GradReport

    Raises
    ------
    ValueError
        If main is not among the losses, or alone; a loss is no real scalar, or its graph is freed;
        per_sample is True for a parameter; `at` holds anything but real tensors that require a
        gradient, have the axis batch_dim and share its length; eps is not a number >= 0; or none
        of the losses depends on `at`.

    Notes
    -----
    A loss that does not depend on `at` has the gradient zero, hence the cosine NaN. There is one
    backward pass for each loss, and no transfer to the CPU. `.grad` is left alone.

    For a loss that is the mean over N samples the rows of its gradient are g_i / N: cosines do not
    mind, inner products and norms do. With batch normalisation in training mode, or a contrastive
    loss, samples are coupled: a row is then the gradient of the whole batch's loss with respect to
    that sample's activation, not of the sample's own loss. The cosine over all entries, the mean of
    the samples' cosines and the conflict rate measure different things and may differ in sign.

    Cosine between task gradients as a measure of conflict: Yu et al., "Gradient surgery for
    multi-task learning", arXiv:2001.06782.
    """
    _check_losses(losses, main)
    points = _as_points(at)
    weights = any(isinstance(point, torch.nn.Parameter) for point in points)
    if per_sample and weights:
        raise ValueError(
            "per_sample must not be True for parameters, found an nn.Parameter in at: its first "
            "axis counts units, not samples; leave per_sample out"
        )
    per_sample = not weights if per_sample is None else per_sample
    if per_sample:
        _check_axis(points, batch_dim)
    if not isinstance(eps, Real) or isinstance(eps, bool) or not eps >= 0:
        raise ValueError(
            f"eps must be a number >= 0, found {eps!r}; 0 leaves only exact zeros undefined"
        )
    names = tuple(name for name in losses if name != main)
    order = [losses[main], *(losses[name] for name in names)]
    gradients = _gradients(order, points, retain_graph)

    wide = widest(points[0].device)
    count = len(order)
    samples = points[0].shape[batch_dim] if per_sample else 1
    sample_gram = torch.zeros(samples, count, count, dtype=wide, device=points[0].device)
    for place, point in enumerate(points):
        rows = torch.stack(
            [
                point.new_zeros(point.shape) if found[place] is None else found[place].detach()
                for found in gradients
            ]
        ).to(wide)  # (1 + L, *shape of the point)
        if per_sample:
            rows = rows.movedim(batch_dim % point.ndim + 1, 0).reshape(samples, count, -1)
        else:
            rows = rows.reshape(1, count, -1)
        sample_gram += rows @ rows.mT
    gram = sample_gram.sum(0)
    norms = gram.diagonal().sqrt()
    if not per_sample:
        return GradReport(main, names, _cosines(gram, eps), gram, norms)
    cosine = _cosines(sample_gram, eps)
    defined = torch.isfinite(cosine)
    return GradReport(
        main=main,
        names=names,
        cosine=_cosines(gram, eps),
        gram=gram,
        norms=norms,
        sample_cosine=cosine,
        sample_gram=sample_gram,
        conflict_rate=(cosine < 0).sum(0) / defined.sum(0).to(wide),
        undefined=1 - defined.to(wide).mean(0),
    )


def _cosines(gram, eps):
    """Cosines (..., L) of the others with the first from inner products (..., 1 + L, 1 + L)."""
    norms = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    first, others = norms[..., :1], norms[..., 1:]
    defined = (first > eps) & (others > eps)
    # Divided one after the other: the product of two tiny norms may underflow.
    cosine = (gram[..., 0, 1:] / first / others).clamp(-1, 1)
    return torch.where(defined, cosine, torch.nan)


def _gradients(losses, points, retain_graph):
    """For each loss its gradients at the points, None where it does not depend on one."""
    found = []
    for place, loss in enumerate(losses):
        if not loss.requires_grad:
            found.append((None,) * len(points))
            continue
        keep = retain_graph or place < len(losses) - 1
        try:
            found.append(torch.autograd.grad(loss, points, retain_graph=keep, allow_unused=True))
        except RuntimeError as error:
            if "second time" not in str(error):
                raise
            raise ValueError(
                "losses must still have their graph, found one freed by an earlier backward pass; "
                "pass retain_graph=True to that pass"
            ) from error
    if all(one is None for each in found for one in each):
        raise ValueError(
            "at must be the very tensors that the losses were computed from, found none that any "
            "loss depends on; pass the tensor itself, not a copy, slice or view taken later"
        )
    return found


def _check_losses(losses, main):
    """Raise ValueError unless losses are real scalars, and main one of several."""
    if not isinstance(losses, Mapping):
        raise ValueError(f"losses must map names to scalar tensors, found {type(losses).__name__}")
    if not isinstance(main, str) or main not in losses or len(losses) < 2:
        raise ValueError(
            f"main must name one of at least two losses, found main={main!r} and losses "
            f"{list(losses)}"
        )
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"losses[{name!r}] must be a scalar tensor, found {what}; reduce it")
        if loss.is_complex():
            raise ValueError(
                f"losses[{name!r}] must be real, found {loss.dtype}; pass its .abs() or .real"
            )


def _as_points(at):
    """The tensors in `at` as a tuple; ValueError unless gradients can be taken at every one."""
    one = isinstance(at, Tensor | np.ndarray | str) or not isinstance(at, Iterable)
    points = (at,) if one else tuple(at)
    if not points:
        raise ValueError("at must hold at least one tensor, found none")
    for point in points:
        if not isinstance(point, Tensor):
            inside = "" if one else f" in {type(at).__name__}"
            raise ValueError(
                f"at must be a tensor or a sequence of tensors, found {type(point).__name__}"
                f"{inside}; for a module pass list(module.parameters())"
            )
        if point.is_complex():
            raise ValueError(
                f"at must hold real tensors, found {point.dtype}; build the losses from "
                "torch.view_as_complex of a real one"
            )
        if not point.requires_grad:
            raise ValueError(
                f"at must hold tensors that require grad, found one of shape {tuple(point.shape)} "
                "that does not; call .requires_grad_() before computing the losses"
            )
    return points


def _check_axis(points, batch_dim):
    """Raise ValueError unless every point has the axis batch_dim, and the same samples along it."""
    if not isinstance(batch_dim, Integral) or isinstance(batch_dim, bool):
        raise ValueError(f"batch_dim must be a whole number, found {batch_dim!r}")
    for point in points:
        if not -point.ndim <= batch_dim < point.ndim:
            raise ValueError(
                f"batch_dim must be an axis of every tensor in at, found {batch_dim} for one of "
                f"shape {tuple(point.shape)}"
            )
    sizes = {point.shape[batch_dim] for point in points}
    if len(sizes) > 1 or 0 in sizes:
        raise ValueError(
            f"at must hold the same samples along batch_dim={batch_dim}, found lengths "
            f"{sorted(sizes)}; for parameters pass per_sample=False"
        )
