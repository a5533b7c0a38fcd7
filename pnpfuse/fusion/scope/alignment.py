"""How far the semantic graphs of the modalities differ (SCOPE Eq. 6), without dense graphs."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from pnpfuse.fusion.scope.semantic import Neighbours

# Entries of a graph that are laid out at a time to look others up in them.
_ENTRIES = 2**20


def alignment_loss(
    graphs: list[Neighbours], candidates: int, filled: Tensor | None = None
) -> Tensor:
    """Mean over the pairs of modalities of |G^m - G^n|_F^2 / N^2 (SCOPE Eq. 6), a scalar.

    A sample that lacks one of a pair's modalities has no row there to compare: the pair's mean
    runs over the rows that both graphs have, N of them in the one N, and is 0 without such a row.
    A neighbour that lacks one modality stays in, as an edge that only the other graph has.

    Parameters
    ----------
    graphs : one for each modality, of the same rows and as many neighbours, each index once a row
    candidates : the number of columns
    filled : bool (candidates,), which of them there are, None for all; their number is the other N
    """
    pairs = list(combinations(graphs, 2))
    if not pairs:
        return graphs[0].weight.new_zeros(())
    one, other = (
        Neighbours(*map(torch.stack, zip(*side, strict=True))) for side in zip(*pairs, strict=True)
    )
    shared = one.valid.any(-1) & other.valid.any(-1)  # (pairs, batch)
    gap = one.weight.square().sum(-1) + other.weight.square().sum(-1)
    gap = gap - 2 * _products(one, other, candidates)  # (pairs, batch)
    # Rounding may leave less than nothing of equal rows.
    total = gap.clamp(min=0).masked_fill(~shared, 0).sum(-1)
    columns = candidates if filled is None else filled.sum().clamp(min=1)
    return (total / (shared.sum(-1).clamp(min=1) * columns)).mean()


def _products(one: Neighbours, other: Neighbours, candidates: int) -> Tensor:
    """<G^m_i, G^n_i> (pairs, batch), by blocks of rows."""
    pairs, batch, _ = one.index.shape
    rows = max(1, _ENTRIES // (pairs * candidates))
    if torch.compiler.is_compiling() or batch <= rows:
        return _product(one, other, candidates)
    parts = zip(*(part.split(rows, 1) for part in (*one, *other)), strict=True)
    blocks = ((Neighbours(*part[:3]), Neighbours(*part[3:])) for part in parts)
    return torch.cat([_product(*block, candidates) for block in blocks], 1)


def _product(one: Neighbours, other: Neighbours, candidates: int) -> Tensor:
    laid = one.weight.new_zeros(*one.weight.shape[:-1], candidates)
    # Added: an edge that is none has the weight 0 and may name a neighbour again.
    found = laid.scatter_add(-1, one.index, one.weight).gather(-1, other.index)
    return (found * other.weight).sum(-1)
