"""Semantic graphs: each sample's nearest neighbours in a modality, with weights on the simplex."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from pnpfuse.fusion.scope.simplex import normalised_weights, printed_weights, simplex_weights

__all__ = ["WEIGHTS", "Neighbours", "printed_weights", "semantic_graph", "simplex_weights"]

_WEIGH = {"exact": simplex_weights, "printed": printed_weights, "normalised": normalised_weights}
WEIGHTS = tuple(_WEIGH)

# Up to so many pairs the matrix of all distances is the quickest way to those of the edges; beyond,
# the search goes by blocks of so many and the edges are measured one by one.
_PAIRS = 2**21


class Neighbours(NamedTuple):
    """Up to k neighbours of each row, nearest first.

    Attributes
    ----------
    index : int64 (..., batch, k), which candidate
    weight : (..., batch, k), 0 where there is none
    valid : bool (..., batch, k), whether there is one
    """

    index: Tensor
    weight: Tensor
    valid: Tensor

    def unbind(self) -> list[Neighbours]:
        """The graphs of a batch of graphs, one for each place of the first axis."""
        return [Neighbours(*parts) for parts in zip(*(part.unbind() for part in self), strict=True)]


def semantic_graph(
    h: Tensor,
    k: int,
    *,
    candidates: Tensor | None = None,
    present: Tensor | None = None,
    among: Tensor | None = None,
    weights: str = "exact",
) -> Neighbours:
    """The nearest neighbours of each row, weighted by their squared distances (SCOPE Sec. 4.2).

    Parameters
    ----------
    h : (..., batch, d); a leading axis holds several graphs, of several modalities say
    k : neighbours of a row, or all there are if these are fewer
    candidates : (..., C, d), among which they are sought; None for h itself, a row not being its
        own neighbour
    present : bool (..., batch), which rows count; the others have no neighbours and, without
        candidates, are nobody's. They may hold anything.
    among : bool (..., C), which candidates count
    weights : "exact", "printed" or "normalised", see `pnpfuse.fusion.scope.simplex`

    Returns
    -------
    Neighbours; the gradient goes through the weights into h and candidates, and the choice of the
    neighbours has none. The same input gives the same graph; which of equally near ones are taken
    is open. Distances below the rounding of the rows, 1e-7 of their size in single precision, count
    as 0: copies share their weight equally.
    """
    own = candidates is None
    others = h if candidates is None else candidates
    among = present if own else among
    same = torch.finfo(h.dtype).eps
    kind = torch.promote_types(h.dtype, torch.float32)
    h, others = _shown(h.to(kind), present), _shown(others.to(kind), among)
    # Where the number of rows is free, as in an exported program, k rows that nobody can take are
    # added to them instead: then there always are k.
    free = own and torch.compiler.is_compiling()
    wanted = k if free else min(k, max(1, others.shape[-2] - own))
    places = torch.arange(h.shape[-2], device=h.device) if own else None
    if torch.compiler.is_compiling() or h[..., 0].numel() * others.shape[-2] <= _PAIRS:
        cost, index = _nearest(h, others, wanted, places, present, among)
        valid = cost.isfinite()
    else:
        index, valid = _searched(h.detach(), others.detach(), wanted, places, present, among)
        cost = (h[..., :, None, :] - _rows(others, index)).square().sum(-1)
    cost = cost.masked_fill(~valid | (cost < _rounding(h, others, same)), 0)
    return Neighbours(index, _WEIGH[weights](cost, valid), valid)


@torch.no_grad()
def _rounding(h: Tensor, others: Tensor, same: float) -> Tensor:
    """What rounding, of rows and of sums, makes of a squared distance 0: (..., batch, 1)."""
    centred = h - others.mean(-2, keepdim=True)
    return same**2 * _sizes(h) + 8 * torch.finfo(_wide(h)).eps * _sizes(centred)


def _shown(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else torch.where(mask[..., None], x, 0)


def _nearest(h, others, k, places, present, among):
    """Squared distances and indices (..., batch, k), the former infinite where there is none.

    places (batch,): which of the others the rows themselves are, or None.
    """
    allowed = torch.ones(others.shape[-2], dtype=torch.bool, device=h.device)
    if among is not None:
        allowed = among[..., None, :]
    if present is not None:
        allowed = allowed & present[..., :, None]
    if places is not None:
        allowed = allowed & (places[:, None] != torch.arange(others.shape[-2], device=h.device))
    squares = _squares(h, others).masked_fill(~allowed, math.inf)
    if torch.compiler.is_compiling():
        squares = pad(squares, (0, k), value=math.inf)
    cost, index = squares.topk(k, largest=False)
    return cost, index.clamp(max=others.shape[-2] - 1)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 (..., batch, C); in double precision until the digits have cancelled."""
    kind, x, y = x.dtype, x.to(_wide(x)), y.to(_wide(x))
    centre = y.detach().mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    return torch.sub(_sizes(x) + _sizes(y).mT, x @ y.mT, alpha=2).clamp(min=0).to(kind)


def _sizes(x: Tensor) -> Tensor:
    return x.square().sum(-1, keepdim=True)


def _wide(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64  # which Metal has not


@torch.no_grad()
def _searched(h, others, k, places, present, among):
    """Index and valid (..., batch, k) by blocks of rows."""
    lead = h.shape[:-2].numel()
    found = []
    for rows in torch.arange(h.shape[-2]).split(max(1, _PAIRS // (lead * others.shape[-2]))):
        block = slice(int(rows[0]), int(rows[-1]) + 1)
        cost, index = _nearest(
            h[..., block, :],
            others,
            k,
            None if places is None else places[block],
            None if present is None else present[..., block],
            among,
        )
        found.append((index, cost.isfinite()))
    index, valid = (torch.cat(parts, -2) for parts in zip(*found, strict=True))
    return index, valid


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """Rows (..., batch, k, d) of x (..., C, d) at index (..., batch, k)."""
    flat, graphs = x.flatten(0, -2), x.shape[:-2]
    shift = x.shape[-2] * torch.arange(graphs.numel(), device=x.device).view(*graphs, 1, 1)
    return flat.index_select(0, (index + shift).flatten()).view(*index.shape, x.shape[-1])
