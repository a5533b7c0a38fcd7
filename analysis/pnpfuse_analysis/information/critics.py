"""Critics: small networks that score pairs, one for each fold, evaluated side by side."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import silu

# Weights (F, d_in, d_out) and biases (F, 1, d_out) of the layers of F networks.
Layers = list[Tensor]


class Critics(Protocol):
    """F critics of pairs; 0 for every pair before training."""

    @property
    def parameters(self) -> Layers:
        """What is trained; F comes first in each."""

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores (F, B, C) of all pairs of x (F, B, d_x) and y (F, C, d_y)."""


class SeparableCritics:
    """Scores f(x, y) = g(x) . h(y): B + C rows go through a network for B C scores.

    Parameters
    ----------
    folds, d_x, d_y, hidden : int
        Number of critics, widths of x and y, width of the layers; g and h have half as many
        outputs.
    like : Tensor
        Device and dtype.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self, folds: int, d_x: int, d_y: int, hidden: int, like: Tensor, generator: torch.Generator
    ) -> None:
        out = max(hidden // 2, 1)
        self.left, self.right = (
            _layers(folds, (d, hidden, hidden, out), like, generator)
            # A linear path beside the network: what a Gaussian has is then learnt in a few steps.
            + _layers(folds, (d, out), like, generator)
            for d in (d_x, d_y)
        )
        _silence(self.right[:-2])
        _silence(self.right)

    @property
    def parameters(self) -> Layers:
        return self.left + self.right

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores (F, B, C) of all pairs of x (F, B, d_x) and y (F, C, d_y)."""
        return torch.bmm(_embedded(x, self.left), _embedded(y, self.right).mT)

    def candidates(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores (F, B, C) of x (F, B, d_x) with its own candidates y (F, B, C, d_y)."""
        right = _embedded(y.flatten(1, 2), self.right).view(*y.shape[:3], -1)
        return torch.einsum("fbe,fbce->fbc", _embedded(x, self.left), right)


class ConcatenatedCritics:
    """Scores f(x, y) of a network of x and y together: freer in shape, B C rows for B C scores.

    Parameters as for `SeparableCritics`.
    """

    def __init__(
        self, folds: int, d_x: int, d_y: int, hidden: int, like: Tensor, generator: torch.Generator
    ) -> None:
        self.first = _layers(folds, (d_x + d_y, hidden), like, generator)
        self.rest = _layers(folds, (hidden, hidden, 1), like, generator)
        self.split = (d_x, d_y)
        _silence(self.rest)

    @property
    def parameters(self) -> Layers:
        return self.first + self.rest

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores (F, B, C) of all pairs of x (F, B, d_x) and y (F, C, d_y)."""
        # The first layer is a sum over x and y, so that it costs B + C rows.
        for_x, for_y = self.first[0].split(self.split, 1)
        left, right = torch.baddbmm(self.first[1], x, for_x), torch.bmm(y, for_y)
        # Few rows at a time: (F, 32, C, hidden) values are held, and kept while training.
        blocks = [
            _perceptron(silu(rows[:, :, None] + right[:, None]).flatten(1, 2), self.rest)
            for rows in left.split(32, 1)
        ]
        return torch.cat(blocks, 1).view(*x.shape[:2], -1)


def _layers(folds, widths, like, generator) -> Layers:
    """Layers of the given widths, normal with variance 2 / d_in: He et al., arXiv:1502.01852."""
    made = []
    for d_in, d_out in zip(widths, widths[1:], strict=False):
        drawn = torch.randn(
            folds, d_in, d_out, generator=generator, device=generator.device, dtype=torch.float32
        )
        made += [drawn * math.sqrt(2 / d_in), drawn.new_zeros(folds, 1, d_out)]
    return [part.to(like).requires_grad_() for part in made]


def _silence(layers: Layers) -> None:
    """Set the last weights to zero."""
    with torch.no_grad():
        layers[-2].zero_()


def _perceptron(x: Tensor, layers: Layers) -> Tensor:
    """Outputs (F, B, d_out) for x (F, B, d_in)."""
    for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        x = silu(torch.baddbmm(bias, x, weight))
    return torch.baddbmm(layers[-1], x, layers[-2])


def _embedded(x: Tensor, layers: Layers) -> Tensor:
    """Network plus linear path, whose one layer comes last: (F, B, d_out) for x (F, B, d_in)."""
    return _perceptron(x, layers[:-2]) + _perceptron(x, layers[-2:])
