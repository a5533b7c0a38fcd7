"""Semantic graphs: each sample's nearest neighbours in a modality, with weights on the simplex."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.scope.distances import nearest
from pnpfuse.fusion.scope.simplex import normalised_weights, printed_weights, simplex_weights

__all__ = ["WEIGHTS", "Neighbours", "printed_weights", "semantic_graph", "simplex_weights"]

_WEIGH = {"exact": simplex_weights, "printed": printed_weights, "normalised": normalised_weights}
WEIGHTS = tuple(_WEIGH)


class Neighbours(NamedTuple):
    """Up to k neighbours of each row, nearest first.

    Attributes
    ----------
    index : int64 (..., batch, k), which candidate
    weight : (..., batch, k), 0 where there is none; in single precision at least
    valid : bool (..., batch, k), whether there is one
    """

    index: Tensor  # type: ignore[assignment]
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
    check_choice("weights", weights, WEIGHTS)
    own = candidates is None
    h = _shown(h, present)
    others, among = (h, present) if candidates is None else (_shown(candidates, among), among)
    # Where the number of rows is free, as in an exported program, `nearest` adds k that nobody can
    # take: then there always are k.
    free = own and torch.compiler.is_compiling()
    wanted = k if free else min(k, max(1, others.shape[-2] - own))
    cost, index, valid = nearest(h, others, wanted, own, present, among)
    return Neighbours(index, _WEIGH[weights](cost, valid), valid)


def _shown(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else torch.where(mask[..., None], x, 0)
