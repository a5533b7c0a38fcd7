"""The small encoders in front of a fusion block, and the scaling in front of the encoders."""

import torch
from torch import Tensor, nn

HIDDEN = 64
WIDEST = 64


def default_width(width: int) -> int:
    """Output width of an encoder for `width` inputs, min(64, width)."""
    return min(WIDEST, width)


class Standardise(nn.Module):
    """(x - mean) / std for each feature, with mean and std kept as buffers.

    Starts as the identity. Being buffers, mean and std travel with the weights, so that a saved
    model takes raw features.

    Parameters
    ----------
    width : number of features
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, width), standardised."""
        return (x - self.mean) / self.std  # (batch, width)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take mean and std (divided by the number of rows) from x (rows, width).

        A constant column gets std 1: it carries nothing, and rounding must not be magnified.
        """
        x = x.detach().cpu().double()  # (rows, width)
        constant = x.amin(0) == x.amax(0)  # (width,)
        std = torch.where(constant, 1.0, x.std(0, correction=0)).to(self.std.dtype)  # (width,)
        self.mean.copy_(x.mean(0))
        self.std.copy_(torch.where(std > 0, std, 1.0))


class MLP(nn.Sequential):
    """Linear(d, 64) - ReLU - Dropout - Linear(64, l).

    Parameters
    ----------
    inputs : d, width of the raw features
    width : l, width of the encoded features
    dropout : probability of zeroing a hidden unit, in training
    """

    def __init__(self, inputs: int, width: int, dropout: float = 0.2):
        super().__init__(
            nn.Linear(inputs, HIDDEN),  # (batch, 64)
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, width),  # (batch, l)
        )
