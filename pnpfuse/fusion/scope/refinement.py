"""Attention within a sample: over a modality's own tokens, then over those of all modalities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.attention import Linears, Tokens, check_heads, normalised
from pnpfuse.fusion.presence import zero_absent

REFINEMENTS = ("both", "self", "cross", "none")


class Refinement(nn.Module):
    """From u^m to h^m, with the modality weights rho (SCOPE Sec. 4.1).

    A feature vector becomes a few tokens. The tokens of a modality attend to each other; then the
    mean token of each modality asks all tokens of the sample, its own among them, and the answer
    makes h^m.

    Parameters
    ----------
    dims : {modality: l_m}
    width : d_h, of every h^m, a multiple of heads
    heads : of both attentions
    tokens : of each modality
    refinement : "both", "self", "cross", or "none": a linear map to h^m

    Notes
    -----
    The paper attends over one vector a modality. Over a single token self-attention is a linear
    map, and over the batch a sample would depend on the samples beside it: hence the tokens. rho
    is the share of the attention that the tokens of each modality receive, over all heads and over
    the modalities that ask; over the tokens of the others alone it would be (1/2, 1/2) for two
    modalities, whatever they hold. Without cross-attention every modality weighs the same.

    An absent modality has no tokens and does not ask: its rho and its h are 0, and the rho of
    those present sum to 1.
    """

    def __init__(
        self,
        dims: dict[str, int],
        width: int = 64,
        heads: int = 8,
        tokens: int = 2,
        refinement: str = "both",
    ):
        super().__init__()
        kind = check_choice("refinement", refinement, REFINEMENTS)
        width, self.heads = check_heads(width, heads)
        tokens, count = check_count("tokens", tokens), len(dims)
        self.refinement = kind
        self.tokens = Tokens(dims, 1 if kind == "none" else tokens, width)
        if kind in ("both", "self"):
            self.own = Linears(count, width, 3 * width)  # query, key and value
            self.own_out = Linears(count, width, width)
        if kind in ("both", "cross"):
            self.query = Linears(count, width, width)
            self.key_value = Linears(count, width, 2 * width)
            self.out = Linears(count, width, width)

    def forward(
        self, V: dict[str, Tensor], masks: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """h (M, batch, width) and each sample's rho (batch, M).

        V {modality: (batch, l_m)} and complete masks {modality: bool (batch,)}, None if nothing is
        absent; every sample has a modality.
        """
        x = self.tokens(V)  # (M, batch, tokens, width)
        shown = None if masks is None else torch.stack(list(masks.values()), 1)  # (batch, M)
        if self.refinement in ("both", "self"):
            x = self._own(x)
        if self.refinement in ("both", "cross"):
            h, share = self._crossed(x, shown)
        else:
            h, share = x.mean(2), x.new_ones(x.shape[1], len(x))  # (M, batch, width), (batch, M)
        if shown is None:
            return h, share / share.shape[1]
        # Among those present, the modalities that ask or that weigh the same.
        share = torch.where(shown, share, 0.0) / shown.sum(1, keepdim=True).clamp(min=1)
        return zero_absent(h, shown.mT), share

    def _own(self, x: Tensor) -> Tensor:
        """x (M, batch, tokens, width) after each token has looked at those of its modality."""
        q, k, v = (self._heads(y) for y in self.own(normalised(x)).chunk(3, -1))
        return x + self.own_out(attended(attention_weights(q, k), v))

    def _crossed(self, x: Tensor, shown: Tensor | None) -> tuple[Tensor, Tensor]:
        """h (M, batch, width), and the attention that each modality receives (batch, M)."""
        count, _, tokens, _ = x.shape
        mean = x.mean(2, keepdim=True)  # (M, batch, 1, width)
        k, v = self.key_value(normalised(x)).chunk(2, -1)
        # A sample's modalities beside each other: (batch, M, heads, d), (batch, M tokens, heads, d)
        q, k, v = (
            self._heads(y.movedim(0, 1).flatten(1, 2)) for y in (self.query(normalised(mean)), k, v)
        )
        asked = None if shown is None else shown.repeat_interleave(tokens, 1)  # (batch, M tokens)
        weight = attention_weights(q, k, asked)  # (batch, M, M tokens, heads)
        found = attended(weight, v).movedim(1, 0)  # (M, batch, width)
        mass = weight.mean(-1).unflatten(-1, (count, tokens)).sum(-1)  # (batch, M asking, M)
        if shown is not None:
            mass = zero_absent(mass, shown)
        return (mean + self.out(found[:, :, None]))[:, :, 0], mass.sum(1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


def attention_weights(query: Tensor, key: Tensor, shown: Tensor | None = None) -> Tensor:
    """Softmax of q k / sqrt(d) over the keys, (..., T, S, heads).

    query (..., T, heads, d) and key (..., S, heads, d); shown, bool (..., S), are the keys that
    may be looked at.
    """
    # Products of a few tokens: one pass over all of them is several times faster than as many
    # small matrix products, and the weights are needed anyhow.
    scaled = query / math.sqrt(query.shape[-1])
    logits = (scaled[..., :, None, :, :] * key[..., None, :, :, :]).sum(-1)
    if shown is not None:
        logits = logits.masked_fill(~shown[..., None, :, None], -math.inf)
    return logits.softmax(-2)


def attended(weight: Tensor, value: Tensor) -> Tensor:
    """(..., T, heads d): value (..., S, heads, d) averaged by weight (..., T, S, heads)."""
    return (weight[..., None] * value[..., None, :, :, :]).sum(-3).flatten(-2)
