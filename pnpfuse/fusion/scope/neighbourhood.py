"""Attention of each row over itself and its neighbours in any modality (SCOPE Sec. 4.3)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.diffusion import MASKS, Attention
from pnpfuse.fusion.precision import without_autocast
from pnpfuse.fusion.scope.semantic import Neighbours
from pnpfuse.fusion.sparsity import Sparsity, by_row, inner_products


class Edges(NamedTuple):
    """Places for K edges in each of N rows.

    Attributes
    ----------
    sparsity : Sparsity
        Of all N K places, row by row; a place without an edge points from its row to itself.
    valid : bool (N, K)
        Which places are edges, each once. The first place is the row's edge to itself.
    shown : bool (N,), or None
        Which rows every other row may see, None: all.
    """

    sparsity: Sparsity
    valid: Tensor
    shown: Tensor | None


def union(
    graphs: list[Neighbours],
    inner: list[Neighbours] | None = None,
    reference: int | None = None,
    filled: Tensor | None = None,
) -> Edges:
    """The edges that any of the graphs has, each once, and of every row an edge to itself.

    A row without a neighbour in any graph, as one whose modalities are all absent in them, keeps
    the edge to itself alone. Nothing is read back from the device.

    Parameters
    ----------
    graphs : of each modality, from `batch` rows to one another, or to `reference` rows
    inner : of each modality, among the reference rows; None for edges to themselves alone
    reference : how many reference rows there are; None, the batch sees itself
    filled : bool (reference,), which of them there are, None for all; the others have no edges

    Returns
    -------
    Edges
        Of N = batch + reference nodes, the batch before the reference. The batch may see the
        reference, be it empty, and neither the batch sees itself nor the reference the batch.
    """
    batch, device = graphs[0].index.shape[0], graphs[0].index.device
    own = torch.arange(batch + (reference or 0), device=device)[:, None]
    places = _places(own[:batch], graphs, batch if reference else 0)  # (batch, 1 + M k)
    if reference:
        below = _places(own[batch:], inner or [], batch)  # (reference, 1 + M k')
        width = max(places.shape[1], below.shape[1])
        places = torch.cat([_widened(places, width), _widened(below, width)])
    nodes, width = places.shape
    rows, columns = own.expand_as(places).flatten(), places.flatten()
    # Stable: within a column the rows rise, so that the same edge twice stands side by side.
    turned, entry = by_row(columns, rows, nodes)
    again = torch.zeros_like(entry, dtype=torch.bool)
    again[1:] = (turned.rows[1:] == turned.rows[:-1]) & (turned.columns[1:] == turned.columns[:-1])
    valid = torch.empty_like(again).scatter(0, entry, ~again).view(nodes, width)
    starts = torch.arange(nodes + 1, device=device) * width
    sparsity = Sparsity(rows, columns, starts, (turned, entry))
    shown = None
    if reference is not None:
        there = valid.new_ones(reference) if filled is None else filled
        shown = torch.cat([valid.new_zeros(batch), there])
    return Edges(sparsity, valid, shown)


def neighbour_attention(
    query: Tensor, key: Tensor, edges: Edges, mask: str = "neighbours"
) -> Attention:
    """Scaled dot-product attention of every row over its edges.

    Parameters
    ----------
    query, key : (N, d)
    edges : from `union`
    mask : {"neighbours", "printed"}
        "neighbours": one softmax of Q K^T / sqrt(d) over the edges of a row, -inf elsewhere.
        "printed", for comparison: softmax(M * softmax(Q K^T / sqrt(d))) over all rows that a row
        may see. What is masked enters with exp(0) = 1 and an edge with at most e: where half of
        all rows are neighbours, half of the attention falls on the others. Dense, O(N^2 d).

    Returns
    -------
    Attention
        Rows >= 0 that sum to 1, of at least float32.
    """
    check_choice("mask", mask, MASKS)
    wide = torch.promote_types(query.dtype, torch.float32)
    query, key = query.to(wide) / math.sqrt(query.shape[1]), key.to(wide)
    sparsity, valid, _ = edges
    if mask == "printed":
        return _printed(query, key, edges)
    logits = inner_products(query, key, sparsity).view_as(valid)
    weight = logits.masked_fill(~valid, -math.inf).softmax(1)  # (N, K)
    return Attention(sparsity.edges, weight.flatten(), None, sparsity, valid.flatten())


def _printed(query: Tensor, key: Tensor, edges: Edges) -> Attention:
    linked, nodes = edges.sparsity, query.shape[0]
    at = torch.arange(nodes, device=query.device)
    shown = torch.ones_like(at, dtype=torch.bool) if edges.shown is None else edges.shown
    seen = shown | (at[:, None] == at)  # (N, N)
    with without_autocast(query):
        first = (query @ key.T).masked_fill(~seen, -math.inf).softmax(1)
    places = torch.ones_like(linked.rows, dtype=torch.bool)  # unused ones are self-loops once more
    M = torch.zeros_like(seen).index_put((linked.rows, linked.columns), places)
    weight = (M * first).masked_fill(~seen, -math.inf).softmax(1)
    rows, columns = at[:, None].expand_as(seen).flatten(), at.repeat(nodes)
    every = Sparsity(rows, columns, torch.arange(nodes + 1, device=query.device) * nodes)
    return Attention(every.edges, weight.flatten(), None, every, M.flatten())


def _places(own: Tensor, graphs: list[Neighbours], shift: int) -> Tensor:
    """Columns (rows, 1 + M k): own (rows, 1), then neighbours, own again where there is none."""
    others = [torch.where(g.valid, g.index + shift, own) for g in graphs]
    return torch.cat([own, *others], 1)


def _widened(places: Tensor, width: int) -> Tensor:
    more = places[:, :1].expand(-1, width - places.shape[1])
    return torch.cat([places, more], 1)
