"""The multimodal bottleneck transformer: modalities talk through a few shared tokens."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.attention import Attention, FeedForward, Tokens, check_heads, normalised
from pnpfuse.fusion.block import JOINT, Block, present_mean
from pnpfuse.fusion.outputs import FusionOutput


class MBT(Block):
    """MBT (Nagrani et al. 2021) for feature vectors, ``fused["joint"]`` (batch, width).

    Each modality becomes a few tokens and has transformer layers (pre-norm) of its own, in which
    its tokens and the bottleneck tokens attend to each other; after each layer the bottlenecks
    are averaged over the modalities that a sample has (Eq. 9). The result is the mean of the
    present modalities' own tokens, normalised: the paper averages their logits, which for a
    common linear classifier is the same.

    Parameters
    ----------
    dims : {modality: l_m}, one or more
    width : of a token, a multiple of heads
    heads, layers : of the transformers; what one modality says reaches another in the second
    bottlenecks : how many bottleneck tokens
    tokens : how many tokens a modality
    fill : what stands for an absent V; with "zero" an absent modality is left out of every
        average, otherwise the fill takes part in its place
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        bottlenecks: int = 4,
        tokens: int = 1,
        *,
        fill: str = "zero",
    ):
        super().__init__(dims, fill)
        self.width, heads = check_heads(width, heads)
        layers = check_count("layers", layers)
        self.tokens = Tokens(self.dims, tokens, self.width)
        count = check_count("bottlenecks", bottlenecks)
        self.bottlenecks = nn.Parameter(0.02 * torch.randn(count, self.width))
        M = len(self.dims)
        self.attention = nn.ModuleList(Attention(M, self.width, heads) for _ in range(layers))
        self.feed = nn.ModuleList(FeedForward(M, self.width) for _ in range(layers))

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        kept = list(masks.values()) if masks is not None and self.fill.kind == "zero" else None
        x = self.tokens(V)  # (M, batch, tokens, width)
        own, (M, batch) = x.shape[2], x.shape[:2]
        common = self.bottlenecks.expand(batch, -1, -1)  # (batch, bottlenecks, width)
        for attention, feed in zip(self.attention, self.feed, strict=True):
            x = torch.cat([x, common.expand(M, -1, -1, -1)], dim=2)
            x = feed(attention(x, x))  # (M, batch, tokens + bottlenecks, width)
            common = present_mean(list(x[:, :, own:].unbind()), kept)
            x = x[:, :, :own]
        each = normalised(x).mean(2)  # (M, batch, width)
        return FusionOutput({JOINT: present_mean(list(each.unbind()), kept)}, present=masks or {})
