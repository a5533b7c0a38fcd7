"""Attention within a sample: over a modality's own tokens, then over those of all modalities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pnpfuse.fusion.attention import Attention, Linears, Tokens, normalised

REFINEMENTS = ("both", "self", "cross", "none")


class Refinement(nn.Module):
    """u^m to h^m, and the modality weights rho (SCOPE Sec. 4.1).

    Parameters
    ----------
    dims : {modality: l_m}
    width : d_h, of every h^m
    heads, tokens : of the attention
    refinement : "both" (self-, then cross-attention), "self", "cross", or "none": one linear map
    """

    def __init__(self, dims: dict[str, int], width: int, heads: int, tokens: int, refinement: str):
        super().__init__()
        self.names, self.heads = list(dims), heads
        self.tokens = Tokens(dims, 1 if refinement == "none" else tokens, width)
        count = len(dims)
        self.own = Attention(count, width, heads) if refinement in ("both", "self") else None
        self.crossed = refinement in ("both", "cross")
        if self.crossed:
            self.query = Linears(count, width, width)
            self.key_value = Linears(count, width, 2 * width)
            self.out = Linears(count, width, width)

    def forward(
        self, V: dict[str, Tensor], masks: dict[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """h {modality: (batch, width)} and each sample's rho (batch, M)."""
        x = self.tokens(V)  # (M, batch, tokens, width)
        count, batch = x.shape[:2]
        shown = x.new_ones(batch, count, dtype=torch.bool)
        if masks is not None:
            shown = torch.stack(list(masks.values()), 1)  # (batch, M)
        if self.own is not None:
            x = self.own(x, x)
        share = shown / shown.sum(1, keepdim=True).clamp(min=1)  # (batch, M)
        if self.crossed:
            x, share = self._cross(x, shown)
        return dict(zip(self.names, x.mean(2).unbind(), strict=True)), share.to(x.dtype)

    def _cross(self, x: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        count, batch, tokens, width = x.shape
        q = self.query(normalised(x)).unflatten(-1, (self.heads, -1))
        k, v = self.key_value(normalised(x)).chunk(2, -1)
        k, v = (y.unflatten(-1, (self.heads, -1)) for y in (k, v))
        logits = torch.einsum("mbihd,nbjhd->bhminj", q, k) / math.sqrt(width / self.heads)
        logits = logits.masked_fill(~shown[:, None, None, None, :, None], -math.inf)
        weight = logits.flatten(-2).softmax(-1).unflatten(-1, (count, tokens))
        mass = weight.sum(-1).mean((1, 3))  # (batch, M queries, M)
        asked = shown / shown.sum(1, keepdim=True).clamp(min=1)  # absent modalities ask nothing
        share = torch.einsum("bm,bmn->bn", asked.to(mass.dtype), mass)
        found = torch.einsum("bhminj,nbjhd->mbihd", weight, v).flatten(-2)
        return x + self.out(found), share
