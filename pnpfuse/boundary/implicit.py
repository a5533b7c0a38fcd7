"""What is read off solved cells as functions with exact derivatives, for torch: on the CPU."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pnpfuse_solvers.pair import Pairs


class Readings(torch.autograd.Function):
    """(C, 4) of `Pairs.interfaces` from length, voltage and charge ratio (C,)."""

    @staticmethod
    def forward(ctx: Any, pairs: Pairs, *numbers: Tensor) -> Tensor:
        values = pairs.interfaces()
        ctx.pairs, ctx.missing = pairs, np.isnan(values)
        return torch.from_numpy(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        # What is missing has no gradient, whatever a loss makes of NaN.
        known = np.where(ctx.missing, 0.0, gradient.numpy())
        moved = np.einsum("co,cop->pc", known, ctx.pairs.interface_changes())
        return None, *torch.from_numpy(moved)


class Balance(torch.autograd.Function):
    """(C, P) of `Pairs.balance` from length, voltage, charge ratio (C,) and positions (C, P)."""

    @staticmethod
    def forward(ctx: Any, pairs: Pairs, *given: Tensor) -> Tensor:
        at = to_numpy(given[-1])
        values = pairs.balance(at)
        ctx.pairs, ctx.at, ctx.missing = pairs, at, np.isnan(values)
        return torch.from_numpy(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        known = np.where(ctx.missing, 0.0, gradient.numpy())
        changes, slopes = ctx.pairs.balance_changes(ctx.at)
        moved = np.einsum("cj,cpj->pc", known, changes)
        return None, *torch.from_numpy(moved), torch.from_numpy(known * slopes)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, in memory of their own: an optimiser may change it in place."""
    return tensor.detach().numpy().copy()
