"""What is read off solved cells as functions with exact derivatives, for torch: on the CPU."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pnpfuse_solvers.pair import Pairs


class Readings(torch.autograd.Function):
    """(C, 4) of `Pairs.interfaces` from length, voltage and charge ratio (C,)."""

    @staticmethod
    def forward(ctx: Any, pairs: Pairs, *numbers: Tensor) -> Tensor:
        values = pairs.interfaces()
        ctx.given, ctx.pairs, ctx.missing = numbers, pairs, np.isnan(values)
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        # What is missing has no gradient, whatever a loss makes of NaN.
        known = np.where(ctx.missing, 0.0, to_numpy(gradient))
        moved = np.einsum("co,cop->pc", known, ctx.pairs.interface_changes())
        return None, *_once(torch.from_numpy(moved).unbind(), gradient, *ctx.given)


class Balance(torch.autograd.Function):
    """(C, P) of `Pairs.balance` from length, voltage, charge ratio (C,) and positions (C, P)."""

    @staticmethod
    def forward(ctx: Any, pairs: Pairs, *given: Tensor) -> Tensor:
        at = to_numpy(given[-1])
        values = pairs.balance(at)
        ctx.given, ctx.pairs, ctx.at, ctx.missing = given, pairs, at, np.isnan(values)
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        known = np.where(ctx.missing, 0.0, to_numpy(gradient))
        changes, slopes = ctx.pairs.balance_changes(ctx.at)
        moved = torch.from_numpy(np.einsum("cj,cpj->pc", known, changes))
        found = *moved.unbind(), torch.from_numpy(known * slopes)
        return None, *_once(found, gradient, *ctx.given)


class _Once(torch.autograd.Function):
    """The first tensors as they are; they depend on the rest, but not in a way that is known."""

    @staticmethod
    def forward(ctx: Any, count: int, *given: Tensor) -> tuple[Tensor, ...]:
        return tuple(one.clone() for one in given[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(
            "the gradients of a simulated cell cannot be differentiated again; leave them out of "
            "what is differentiated with create_graph, or detach them"
        )


def _once(found: tuple[Tensor, ...], *of: Tensor) -> tuple[Tensor, ...]:
    """``found``, which raises where it is differentiated: torch would take it for a constant."""
    return _Once.apply(len(found), *found, *of) if torch.is_grad_enabled() else found


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, in memory of their own: an optimiser may change it in place."""
    return tensor.detach().numpy().copy()
