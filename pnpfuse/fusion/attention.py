"""Transformer layers, several with weights of their own computed at once."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.widths import check_width


def check_heads(width: int, heads: int, argument: str = "width") -> tuple[int, int]:
    """`width`, called `argument`, and `heads` as ints, the one a multiple of the other."""
    width, heads = check_width(width, argument), check_count("heads", heads)
    if width % heads:
        raise ValueError(f"{argument} must be a multiple of heads; found {width} and {heads}")
    return width, heads


class Linears(nn.Module):
    """g linear maps side by side, drawn as `torch.nn.Linear` draws them.

    Parameters
    ----------
    count : g
    inputs, outputs : widths
    """

    def __init__(self, count: int, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(g, batch, tokens, outputs) of x (g, batch, tokens, inputs)."""
        flat = torch.baddbmm(self.bias[:, None], x.flatten(1, 2), self.weight.mT)
        return flat.unflatten(1, x.shape[1:3])

    def extra_repr(self) -> str:
        return str(tuple(self.weight.shape))


class Attention(nn.Module):
    """g multi-head attentions, normalised in front, each added to its queries.

    The normalisation has no weights: the linear map behind it can take them in.

    Parameters
    ----------
    count : g
    width : of the tokens, a multiple of heads
    heads : of the attention
    """

    def __init__(self, count: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = Linears(count, width, width)
        self.key_value = Linears(count, width, 2 * width)
        self.out = Linears(count, width, width)

    def forward(self, x: Tensor, context: Tensor, shown: Tensor | None = None) -> Tensor:
        """x (g, batch, tokens, width) after it has looked at context (g, batch, others, width).

        shown, bool (batch, others), says which of the context a sample may look at.
        """
        g, batch, tokens, width = x.shape
        query = self._heads(self.query(normalised(x)))  # (g batch, heads, tokens, width/heads)
        key, value = self.key_value(normalised(context)).chunk(2, dim=-1)
        mask = None
        if shown is not None:
            mask = shown.repeat(g, 1)[:, None, None]  # (g batch, 1, 1, others)
        found = scaled_dot_product_attention(query, self._heads(key), self._heads(value), mask)
        return x + self.out(found.transpose(1, 2).reshape(g, batch, tokens, width))

    def _heads(self, x: Tensor) -> Tensor:
        """(g batch, heads, tokens, width/heads) of x (g, batch, tokens, width)."""
        return x.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """g networks Linear(width, 2 width) - GELU - Linear, normalised in front, each added."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.expand = Linears(count, width, 2 * width)
        self.reduce = Linears(count, 2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (g, batch, tokens, width), the same shape."""
        return x + self.reduce(gelu(self.expand(normalised(x))))


def normalised(x: Tensor) -> Tensor:
    """x (..., width) with mean 0 and variance 1 in each token."""
    return layer_norm(x, x.shape[-1:])


class Tokens(nn.Module):
    """A linear map of each modality's feature vector to tokens of a common width.

    Parameters
    ----------
    dims : {modality: l_m}
    tokens : how many for each modality
    width : of a token
    """

    def __init__(self, dims: dict[str, int], tokens: int, width: int):
        super().__init__()
        self.count = check_count("tokens", tokens)
        self.maps = nn.ModuleDict({m: nn.Linear(d, self.count * width) for m, d in dims.items()})

    def forward(self, V: dict[str, Tensor]) -> Tensor:
        """(M, batch, tokens, width) of V {modality: (batch, l_m)}."""
        rows = torch.stack([self.maps[m](v) for m, v in V.items()])  # (M, batch, tokens width)
        return rows.unflatten(-1, (self.count, -1))
