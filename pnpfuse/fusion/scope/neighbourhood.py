"""Attention over a few neighbours a row, and its powers, without a matrix of all pairs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse.fusion.scope.semantic import Neighbours


class Edges(NamedTuple):
    """Edges of each row to candidates: index int64 (batch, K), valid bool (batch, K)."""

    index: Tensor
    valid: Tensor


def union(graphs: list[Neighbours]) -> Edges:
    """The edges that any of the graphs has, each once."""
    index = torch.cat([g.index for g in graphs], 1)  # (batch, M k)
    valid = torch.cat([g.valid for g in graphs], 1)
    key, order = index.masked_fill(~valid, -1).sort(1)
    first = torch.ones_like(valid)
    first[:, 1:] = key[:, 1:] != key[:, :-1]
    return Edges(index.gather(1, order), first & (key >= 0))


def neighbour_attention(
    query: Tensor, own_key: Tensor, key: Tensor, edges: Edges
) -> tuple[Tensor, Tensor]:
    """Attention of each row over itself (batch,) and over its edges (batch, K), of sum 1.

    query, own_key (batch, d) and key (C, d).
    """
    scale = 1 / math.sqrt(query.shape[1])
    own = (query * own_key).sum(1, keepdim=True) * scale  # (batch, 1)
    other = torch.einsum("bd,bkd->bk", query, key[edges.index]) * scale  # (batch, K)
    logits = torch.cat([own, other.masked_fill(~edges.valid, -math.inf)], 1)
    weight = logits.softmax(1)
    return weight[:, 0], weight[:, 1:]


def step(own: Tensor, weight: Tensor, edges: Edges, x: Tensor, others: Tensor) -> Tensor:
    """A x: own (batch,) of x (batch, d) and weight (batch, K) of others (C, d)."""
    gathered = torch.einsum("bk,bkd->bd", weight, others[edges.index])
    return own[:, None] * x + gathered
