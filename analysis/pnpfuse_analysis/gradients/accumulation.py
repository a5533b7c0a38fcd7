"""Gradients that are compared on their way to `.grad`, so that a step needs no further pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .ancestry import leaves
from .conflict import products, workspace
from .passes import filled
from .points import kept_graph


def accumulated(
    losses: Sequence[Tensor],
    points: Sequence[Tensor],
    retain_graph: bool,
    batch_dim: int | None,
) -> Tensor | None:
    """Add all gradients to `.grad` of every leaf; return their inner products at the points.

    Returns
    -------
    Tensor, shape (K, K), or (N, K, K) along batch_dim; or None
        None if no loss depends on any point; `.grad` is then as it was.

    Notes
    -----
    All passes are ordinary ones. In the last, a gradient meets those of the other losses on its way
    to be added to the first one's: nothing is stored twice, nothing passes memory twice.
    """
    *others, last = losses
    ground = list(leaves(losses))
    before = [leaf.grad for leaf in ground]
    try:
        at_points, at_leaves = [], []
        for loss in others:
            _set(ground, [None] * len(ground))
            at_points.append(_pass(loss, points, ground))
            at_leaves.append([leaf.grad for leaf in ground])
        _set(ground, at_leaves[0])
        gram = _last_pass(last, at_points, points, retain_graph, batch_dim)
    except BaseException:
        _set(ground, before)
        raise
    if gram is None:
        _set(ground, before)
        return None
    for leaf, *more, old in zip(ground, *at_leaves[1:], before, strict=True):
        _add(leaf, more, old)
    return gram


def _pass(loss, points, ground):
    """The gradients at the points; leaves keep theirs as `.grad`, which was None."""
    found = {}
    inner = {place: point for place, point in enumerate(points) if not point.is_leaf}
    _backward(loss, inner, found.__setitem__, True)
    own = {leaf: leaf.grad for leaf in ground}
    return [found.get(place) if place in inner else own.get(p) for place, p in enumerate(points)]


def _last_pass(loss, rows, points, retain_graph, batch_dim):
    """The inner products at the points, with rows of the other losses' gradients."""
    waiting, found = dict(enumerate(points)), []
    space = workspace(points, len(rows) + 1)

    def meet(place, gradient):
        point = waiting.pop(place)
        gradients = filled([point], [*([row[place]] for row in rows), [gradient]])
        found.append(products(gradients, batch_dim, space))

    _backward(loss, dict(waiting), meet, retain_graph)
    for place in list(waiting):
        if any(row[place] is not None for row in rows):
            meet(place, None)
    return sum(found[1:], found[0]) if found else None


def _backward(loss, points, take, retain_graph):
    """An ordinary pass, in which take(place, gradient) is called for each point it comes by."""
    handles = [
        point.register_hook(lambda gradient, place=place: take(place, gradient))
        for place, point in points.items()
    ]
    try:
        if loss.requires_grad:
            with kept_graph():
                loss.backward(retain_graph=retain_graph)
    finally:
        for handle in handles:
            handle.remove()


def _set(ground, gradients):
    for leaf, gradient in zip(ground, gradients, strict=True):
        leaf.grad = gradient


@torch.no_grad()
def _add(leaf, gradients, old):
    """Add gradients, None for zero, and what there was before to what a leaf has just got."""
    for gradient in gradients:
        if leaf.grad is None:
            leaf.grad = gradient
        elif gradient is not None:
            leaf.grad += gradient
    if old is not None:
        # In its own memory, on which others may have a view.
        if leaf.grad is not None:
            old += leaf.grad
        leaf.grad = old
