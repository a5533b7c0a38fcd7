"""Squared distances to the nearest of some rows, with the gradient of the distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

# Up to so many pairs the matrix of all distances is the quickest way to those of the edges; beyond,
# the search goes by blocks of so many and the edges are measured by themselves.
_PAIRS = 2**20


def nearest(
    h: Tensor, others: Tensor, k: int, own: bool, present: Tensor | None, among: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distances, indices and which there are, each (..., batch, k), nearest first.

    Parameters
    ----------
    h, others : (..., batch, d) and (..., C, d), finite
    own : whether others are the rows of h, each of which then is not its own neighbour
    present, among : bool (..., batch) and (..., C), which rows and which others count

    Returns
    -------
    Distances in single precision or better, 0 where there is no neighbour and where a distance is
    no more than rounding makes of 0.
    """
    same, kind = torch.finfo(h.dtype).eps, torch.promote_types(h.dtype, torch.float32)
    wide = torch.float32 if h.device.type == "mps" else torch.float64  # which Metal has not
    h, others = h.to(kind), others.to(kind)
    # |x|^2 - 2xy + |y|^2 cancels: double precision about a middle keeps the digits of near ones.
    y = others.to(wide)
    centre = y.detach().mean(-2, keepdim=True)
    y = y - centre
    x = y if own else h.to(wide) - centre
    with torch.no_grad():  # what rounding, of rows and of sums, makes of 0
        least = same**2 * _sizes(h) + 8 * torch.finfo(wide).eps * _sizes(x).to(kind)
    counted = least, torch.arange(h.shape[-2], device=h.device) if own else None, present, among
    if torch.compiler.is_compiling() or h[..., 0].numel() * others.shape[-2] <= _PAIRS:
        cost, index = _sought(x, y, k, kind, *counted)
        valid = cost.isfinite()
    else:
        index, valid = _sought_by_blocks(x, y, k, kind, *counted)
        cost = _over_edges(h, others, index)
    return cost.masked_fill(~valid | (cost < least), 0), index, valid


def _sought(x, y, k, kind, least, places, present, among):
    """|x_i - y_j|^2 in dtype kind and j (..., batch, k), the former infinite where there is none.

    least (..., batch, 1): what counts as 0. places (batch,): which of y the rows themselves are, or
    None.
    """
    columns = torch.arange(y.shape[-2], device=y.device)
    allowed = columns >= 0 if among is None else among[..., None, :]
    if present is not None:
        allowed = allowed & present[..., :, None]
    if places is not None:
        allowed = allowed & (places[:, None] != columns)
    squares = torch.sub(_sizes(x) + _sizes(y).mT, x @ y.mT, alpha=2).clamp(min=0)
    # Equal distances are equal again in their own precision, and taken alike whatever the batch.
    # So are those of copies, which rounding would tell apart.
    squares = squares.to(kind)
    squares = squares.masked_fill(squares < least, 0).masked_fill(~allowed, math.inf)
    if places is not None and torch.compiler.is_compiling():  # the number of rows may be free
        squares = pad(squares, (0, k), value=math.inf)
    cost, index = squares.topk(k, largest=False)
    return cost, index.clamp(max=y.shape[-2] - 1)


def _sizes(x):
    return x.square().sum(-1, keepdim=True)


@torch.no_grad()
def _sought_by_blocks(x, y, k, kind, least, places, present, among):
    found = []
    rows = max(1, _PAIRS // (x.shape[:-2].numel() * y.shape[-2]))
    for start in range(0, x.shape[-2], rows):
        block = slice(start, start + rows)
        own = None if places is None else places[block]
        here = None if present is None else present[..., block]
        cost, index = _sought(x[..., block, :], y, k, kind, least[..., block, :], own, here, among)
        found.append((index, cost.isfinite()))
    index, valid = (torch.cat(parts, -2) for parts in zip(*found, strict=True))
    return index, valid


def _over_edges(h, others, index):
    """|h_i - others_j|^2 (..., batch, k) of the edges alone."""
    graphs = others.shape[:-2]
    shift = torch.arange(graphs.numel(), device=h.device).view(*graphs, 1, 1) * others.shape[-2]
    flat = h.flatten(0, -2), others.flatten(0, -2), (index + shift).flatten(0, -2)
    return _EdgeSquares.apply(*flat).view(index.shape)


class _EdgeSquares(torch.autograd.Function):
    """|h_i - others_j|^2 (rows, k) for j in index (rows, k), by blocks there and back: the
    differences (rows, k, d) are never held at once."""

    @staticmethod
    def forward(ctx, h, others, index):
        ctx.save_for_backward(h, others, index)
        squares = [
            (h[rows, None] - others[index[rows]]).square().sum(-1) for rows in _blocks(h, index)
        ]
        return torch.cat(squares)

    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        h, others, index = ctx.saved_tensors
        of_h, of_others = torch.empty_like(h), torch.zeros_like(others)
        for rows in _blocks(h, index):
            pull = (h[rows, None] - others[index[rows]]) * (2 * slope[rows, :, None])
            of_h[rows] = pull.sum(1)
            of_others.index_add_(0, index[rows].flatten(), pull.flatten(0, 1), alpha=-1)
        return of_h, of_others, None


def _blocks(h, index):
    rows = max(1, _PAIRS // (index.shape[1] * h.shape[1]))
    return (slice(start, start + rows) for start in range(0, len(h), rows))
