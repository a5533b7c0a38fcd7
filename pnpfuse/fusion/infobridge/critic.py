"""How well two feature vectors go together in a context: the score of a pair."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HIDDEN = 64


class Critic(nn.Module):
    """s(z1, z2, T) = <f1(z1, T), f2(z2, T)> / sqrt(width) + c_T.

    Parameters
    ----------
    first, second : widths of z1 and z2
    contexts : number of values of T
    width : of f1 and f2
    """

    def __init__(self, first: int, second: int, contexts: int, width: int = 64):
        super().__init__()
        self.scale = 1 / math.sqrt(width)
        self.sides = nn.ModuleList(_Side(d, contexts, width) for d in (first, second))
        self.offset = nn.Parameter(torch.zeros(contexts))

    def forward(self, first: Tensor, second: Tensor, context: Tensor) -> Tensor:
        """Score (..., ) of first (..., l_1) with second (..., l_2) in context int64 (...)."""
        a, b = self.sides[0](first, context), self.sides[1](second, context)
        return (a * b).sum(-1) * self.scale + self.offset[context]


class _Side(nn.Module):
    def __init__(self, inputs: int, contexts: int, width: int):
        super().__init__()
        self.context = nn.Embedding(contexts, HIDDEN)
        self.inner, self.outer = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, width)

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        """(..., width) of z (..., l) in context (...)."""
        return self.outer((self.inner(z) + self.context(context)).relu())
