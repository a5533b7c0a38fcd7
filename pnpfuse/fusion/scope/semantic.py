"""Semantic graphs: each sample's nearest neighbours in a modality, with weights on the simplex."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

WEIGHTS = ("exact", "printed")


class Neighbours(NamedTuple):
    """Up to k neighbours of each row.

    Attributes
    ----------
    index : int64 (batch, k), which candidate
    weight : (batch, k), 0 where there is none
    valid : bool (batch, k), whether there is one
    """

    index: Tensor
    weight: Tensor
    valid: Tensor


def simplex_weights(cost: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weights (..., k) >= 0 of sum 1 that minimise SCOPE's Eq. (4) for cost (..., k) >= 0."""
    if valid is None:
        valid = torch.ones_like(cost, dtype=torch.bool)
    with torch.no_grad():
        shown = cost.detach().masked_fill(~valid, math.inf)
        least = shown.amin(-1, keepdim=True)
        low, high = torch.zeros_like(least), 1 / least.clamp(min=torch.finfo(cost.dtype).tiny)
        for _ in range(60):
            middle = (low + high) / 2
            above = (1 - middle * shown).clamp(min=0).sqrt().nansum(-1, keepdim=True) > 1
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    left = 1 - low * cost  # (..., k)
    shown = valid & (left > 1e-6)
    g = torch.where(shown, left, 1.0).sqrt() * shown
    return g / g.sum(-1, keepdim=True).clamp(min=torch.finfo(g.dtype).tiny)


def printed_weights(cost: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weights (..., k) of SCOPE's Theorem 1 as printed, for cost (..., k) >= 0; sums differ."""
    if valid is None:
        valid = torch.ones_like(cost, dtype=torch.bool)
    k = valid.sum(-1, keepdim=True)
    total = (cost * valid).sum(-1, keepdim=True)
    slope = (k * k - 1) / (k * total).clamp(min=torch.finfo(cost.dtype).tiny)
    left = 1 - slope * cost  # (..., k)
    shown = valid & (left > 1e-6)
    return torch.where(shown, left, 1.0).sqrt() * shown


def semantic_graph(
    h: Tensor,
    k: int,
    *,
    candidates: Tensor | None = None,
    present: Tensor | None = None,
    among: Tensor | None = None,
    weights: str = "exact",
) -> Neighbours:
    """The k nearest neighbours of h (batch, d) among candidates (C, d), None for h itself.

    present, bool (batch,), and among, bool (C,), say which rows and candidates count.
    """
    own = candidates is None
    others = h if candidates is None else candidates
    if own:
        among = present
    distance = torch.cdist(h.detach(), others.detach())  # (batch, C)
    if own:
        distance = distance.fill_diagonal_(math.inf)
    if among is not None:
        distance = distance.masked_fill(~among, math.inf)
    if present is not None:
        distance = distance.masked_fill(~present[:, None], math.inf)
    found = distance.topk(min(k, max(1, len(others) - own)), largest=False)
    valid = found.values.isfinite()  # (batch, k)
    cost = (h[:, None] - others[found.indices]).square().sum(-1)  # (batch, k)
    weigh = simplex_weights if weights == "exact" else printed_weights
    return Neighbours(found.indices, weigh(cost, valid), valid)
