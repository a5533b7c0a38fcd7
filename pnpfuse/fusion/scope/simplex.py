"""Weights of a sample's edges from their costs: SCOPE's Eq. (5), exact and as Theorem 1 prints it.

Eq. (4) is convex on the simplex, psi'' = 4 g/(1 - g^2)^2 >= 0, so its stationary point

    g_j = sqrt((1 - u f_j)_+),  sum_j g_j = 1,  u = 2/lambda

is its minimum. With t the weight of the farthest edge that has any and c its cost,
u = (1 - t^2)/c and g_j = sqrt(1 - f_j/c + t^2 f_j/c) over the edges of cost <= c: smooth and convex
in t, also where the farthest weight tends to 0, with a sum whose slope is at least 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Newton steps to the last digit; the slowest rows found, all costs nearly equal but one, take 5, 6.
_STEPS = {torch.float32: 5, torch.float64: 7}

# The slope of a weight grows as 1/g where several far edges of about equal cost all but vanish.
# Below this g it grows no more; single precision knows such a g to 4 digits at best.
_LEAST_WEIGHT = 1e-3


def simplex_weights(cost: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weights >= 0 of sum 1 that minimise SCOPE's Eq. (4), the exact solution of Eq. (5).

    Parameters
    ----------
    cost : (..., k), f >= 0; only ratios within a row matter. Costs of 0 (below 1e-31 in single
        precision) share the weight equally; one that is not a number makes its row so.
    valid : bool, broadcasts to cost: which edges there are; None for all

    Returns
    -------
    (..., k), in the dtype of cost; 0 where not valid, all 0 in a row without an edge. Its gradient
    is the solution's, in which weights below 1e-3 count as 1e-3; a row's f . gradient is 0.
    """
    return _solved(cost, valid)[0].to(cost.dtype)


def multiplier(cost: Tensor, valid: Tensor | None = None) -> Tensor:
    """lambda (...) of `simplex_weights`: above 0, infinite for a single edge.

    With a edges of weight above 0 and S their cost, 2a/(a^2 - 1) S <= lambda < 2/(a - 1) S.
    Theorem 1 prints this with k for a, as if no edge had weight 0; then only the upper bound holds.
    """
    return (2 / _solved(cost, valid)[1]).to(cost.dtype).squeeze(-1)


def printed_weights(cost: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weights (..., k) of SCOPE's Theorem 1 as printed, for cost (..., k) >= 0.

    Their sum is 1 in rows of equal costs alone and grows with what (.)_+ clips. lambda divides by
    zero for one edge; the weight's limit there is 1. In a row of zeros each weight is 1/k. The
    gradient of a weight below 1e-3 is 0: the slope of the root is not bounded here.
    """
    f, valid = _prepared(cost, valid)
    f = f.masked_fill(~valid, 0)
    k = valid.sum(-1, keepdim=True).to(f)
    share = f / f.sum(-1, keepdim=True).clamp(min=torch.finfo(f.dtype).tiny)
    left = 1 - (k * k - 1) / k.clamp(min=1) * share  # (..., k)
    steep = left < _LEAST_WEIGHT**2
    flat = left.detach().clamp(min=0).sqrt()
    weight = torch.where(steep, flat, left.masked_fill(steep, 1).sqrt())
    return weight.masked_fill(~valid, 0).to(cost.dtype)


def normalised_weights(cost: Tensor, valid: Tensor | None = None) -> Tensor:
    """`printed_weights` over their sum: of sum 1, though not the minimum of Eq. (4)."""
    weight = printed_weights(cost, valid)
    return weight / weight.sum(-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)


def _prepared(cost: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    if cost.dtype != torch.float64:
        cost = cost.float()
    valid = torch.ones_like(cost, dtype=torch.bool) if valid is None else valid.expand_as(cost)
    # Nothing over- or underflows between these, so that no row needs a scale of its own.
    return cost.clamp(_least_cost(cost), torch.finfo(cost.dtype).max / 2**10), valid


def _least_cost(cost: Tensor) -> float:
    kind = torch.finfo(cost.dtype)
    return kind.tiny / kind.eps


def _solved(cost: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    cost, valid = _prepared(cost, valid)
    weight, rate, _ = _Solution.apply(cost.masked_fill(~valid, math.inf), valid)
    return weight, rate


class _Solution(torch.autograd.Function):
    """Weights (..., k), u (..., 1) and which edges have weight, of costs that are infinite if not
    valid."""

    generate_vmap_rule = True

    @staticmethod
    def forward(cost, valid):
        far = _farthest(cost, valid)  # (..., 1)
        ratio = cost / far
        active = valid & ~(ratio > 1)  # a cost that is not a number stays in, and spoils the row
        ratio = ratio.masked_fill(~active, 0)
        # Above 0, so that no root below is 0; its root is no part of a sum of about 1.
        rest = torch.where(active, 1 - ratio, 0).clamp(min=torch.finfo(cost.dtype).tiny)
        t = torch.minimum(
            1 / active.sum(-1, keepdim=True),  # the smallest of so many, of sum 1
            0.6 * (1 - rest.sqrt().sum(-1, keepdim=True)),  # what the others leave at t = 0
        )
        for _ in range(_STEPS[cost.dtype]):
            g = torch.addcmul(rest, ratio, t * t).sqrt()
            slope = t * (ratio / g).sum(-1, keepdim=True)
            t = t - (g.sum(-1, keepdim=True) - 1) / slope.clamp(min=1)
        t = t.clamp(0, 1)
        g = torch.where(active, torch.addcmul(rest, ratio, t * t).sqrt(), 0)
        share = g / g.sum(-1, keepdim=True).clamp(min=torch.finfo(cost.dtype).tiny)
        return share, (1 - t * t) / far, active

    @staticmethod
    def setup_context(ctx, inputs, output):
        weight, rate, active = output
        ctx.mark_non_differentiable(active)
        ctx.save_for_backward(inputs[0], weight, rate, active)

    @staticmethod
    def backward(ctx, of_weight, of_rate, _):
        cost, weight, rate, active = ctx.saved_tensors
        cost = cost.masked_fill(~active, 0)
        # Rows of zeros: their weights, all equal, are a limit without a slope.
        rate = rate.masked_fill(rate * _least_cost(cost) > 0.7, 0)
        inverse = (1 / weight.clamp(min=_LEAST_WEIGHT)).masked_fill(~active, 0)
        pull = rate * cost * inverse  # u f/g
        total = pull.sum(-1, keepdim=True).clamp(min=torch.finfo(cost.dtype).tiny)
        mean = (pull * of_weight).sum(-1, keepdim=True) / total
        slope = (of_weight - mean) / 2 + of_rate * (rate / total)
        return -rate * inverse * slope, None


def _farthest(cost: Tensor, valid: Tensor) -> Tensor:
    """The largest cost (..., 1) of an edge with weight, or the second least if that has none."""
    k = cost.shape[-1]
    cost = cost.sort(-1).values
    # At u = 1/f_a the weights of the nearer edges have a sum below 1 just where a has weight.
    place = (valid.sum(-1, keepdim=True) - 1).clamp(0, 1)
    # The k of an exported program may be open: strides for as many as anybody asks for.
    stride = 1 << (k - 1).bit_length() if isinstance(k, int) else 2**16
    while stride := stride >> 1:
        ahead = (place + stride).clamp(max=k - 1)
        left = 1 - cost / cost.gather(-1, ahead)
        more = left.clamp(min=0).sqrt().sum(-1, keepdim=True) < 1
        place = torch.where(more, ahead, place)
    return cost.gather(-1, place)
