"""The Perceiver: a few learned latents look at the tokens of all modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.attention import Attention, FeedForward, Tokens, check_heads, normalised
from pnpfuse.fusion.block import JOINT, Block
from pnpfuse.fusion.outputs import FusionOutput


class Perceiver(Block):
    """Perceiver (Jaegle et al. 2021) for feature vectors, ``fused["joint"]`` (batch, width).

    In each layer the latents attend to the tokens of all modalities, then to each other (both
    pre-norm, each with a feed-forward network behind it). The result is their mean, normalised.
    What says which modality a token belongs to is the bias of its map.

    Parameters
    ----------
    dims : {modality: l_m}, one or more
    width : of tokens and latents, a multiple of heads
    heads, layers : of the attention
    latents : how many
    tokens : how many tokens a modality
    fill : what stands for an absent V; with "zero" the tokens of an absent modality are not
        looked at, otherwise the fill's are
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int = 64,
        heads: int = 4,
        layers: int = 1,
        latents: int = 4,
        tokens: int = 1,
        *,
        fill: str = "zero",
    ):
        super().__init__(dims, fill)
        self.width, heads = check_heads(width, heads)
        layers, latents = check_count("layers", layers), check_count("latents", latents)
        self.tokens = Tokens(self.dims, tokens, self.width)
        self.latents = nn.Parameter(0.02 * torch.randn(latents, self.width))
        self.cross = nn.ModuleList(Attention(1, self.width, heads) for _ in range(layers))
        self.cross_feed = nn.ModuleList(FeedForward(1, self.width) for _ in range(layers))
        self.inner = nn.ModuleList(Attention(1, self.width, heads) for _ in range(layers))
        self.inner_feed = nn.ModuleList(FeedForward(1, self.width) for _ in range(layers))

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        tokens = self.tokens(V)  # (M, batch, tokens, width)
        shown = None
        if masks is not None and self.fill.kind == "zero":
            shown = torch.stack(list(masks.values()), dim=1)  # (batch, M)
            shown = shown.repeat_interleave(tokens.shape[2], dim=1)  # (batch, M tokens)
        tokens = tokens.transpose(0, 1).flatten(1, 2)[None]  # (1, batch, M tokens, width)
        x = self.latents.expand(1, tokens.shape[1], -1, -1)  # (1, batch, latents, width)
        for cross, cross_feed, inner, inner_feed in zip(
            self.cross, self.cross_feed, self.inner, self.inner_feed, strict=True
        ):
            x = cross_feed(cross(x, tokens, shown))
            x = inner_feed(inner(x, x))  # (1, batch, latents, width)
        return FusionOutput({JOINT: normalised(x)[0].mean(1)}, present=masks or {})
