"""A critic's scores as losses: true pairs against others, by noise contrast or a softmax."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def contrast_drawn(true: Tensor, drawn: Tensor, ratio: float) -> Tensor:
    """- log h - N0/N1 mean log(1 - h), (P, B): InfoBridge's Eq. (1) in logits.

    Of logits of true pairs (P, B) and of drawn ones (P, B, N).
    """
    return -logsigmoid(true) - ratio * logsigmoid(-drawn).mean(2)


def contrast_all(logits: Tensor, partner: Tensor, ratio: float) -> Tensor:
    """The same (P, B) with all partners of a row, bool (P, B, B), for drawn ones.

    Logits (P, B, B), those of true pairs on the diagonal.
    """
    others = torch.where(partner, logsigmoid(-logits), 0.0).sum(2)
    others = others / partner.sum(2).clamp(min=1)
    return -logsigmoid(logits.diagonal(dim1=1, dim2=2)) - ratio * others


def infonce(scores: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy (P, B) of every row's own among those shown, (P, B, B)."""
    # A row keeps its own, so that its softmax is one of something.
    hidden = ~(shown | itself(scores[0]))
    true = scores.diagonal(dim1=1, dim2=2)
    return scores.masked_fill(hidden, -math.inf).logsumexp(2) - true


def itself(rows: Tensor) -> Tensor:
    """Which of the rows each row is, bool (B, B)."""
    return torch.eye(len(rows), dtype=torch.bool, device=rows.device)


def mean_kept(x: Tensor, kept: Tensor) -> Tensor:
    """Mean over the rows kept, (P,) of (P, B); 0 if there is none."""
    return torch.where(kept, x, 0.0).sum(1) / kept.sum(1).clamp(min=1)
