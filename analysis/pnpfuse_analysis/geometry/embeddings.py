"""The shape of a cloud of features: effective rank, alignment, uniformity, modality gap."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array

from .features import as_features, as_pair, centred, check_positive, order_one, unit_rows
from .tiles import sum_over_pairs


def effective_rank(x: Array, *, centre: bool = False) -> Tensor:
    """Return in how many directions features spread: the exponential of a spectral entropy.

    exp(-sum_k p_k log p_k) with p_k = s_k / sum_j s_j over the singular values s of x: Roy and
    Vetterli, "The effective rank", EUSIPCO 2007. It lies between 1 and the rank, is r for r equal
    singular values, and does not change with scale or rotation.

    Parameters
    ----------
    x : Tensor or ndarray, shape (N, d), (N,) or (B, N, d)
        Features of any real dtype. The result is differentiable in x.
    centre : bool
        Take the mean over samples away first. The definition does not: features with a large mean
        then read near 1 however they spread around it. For "do the samples differ in many
        directions?" pass True.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. 0, as the rank, where all singular values vanish; NaN for non-finite
        features.

    Raises
    ------
    ValueError
        On a wrong type or shape.
    """
    features = as_features(x, "x")
    features = centred(features, rescale=True) if centre else order_one(features)
    # LAPACK refuses NaN, which has to come out all the same.
    finite = torch.isfinite(features).all(-1).all(-1)
    singular = torch.linalg.svdvals(torch.where(finite[..., None, None], features, 0))
    return torch.where(finite, spectral_rank(singular), torch.nan)


def spectral_rank(singular: Tensor) -> Tensor:
    """Return the effective rank from singular values (..., r): (...)."""
    total = singular.sum(-1, keepdim=True)
    share = singular / torch.where(total > 0, total, 1)
    # log p has no finite slope at 0: such directions take no part, in the gradient neither.
    there = share > 0
    entropy = -(share * torch.where(there, share, 1).log()).sum(-1)
    return torch.where(total[..., 0] > 0, entropy.exp(), 0)


def alignment(x: Array, y: Array, alpha: float = 2.0) -> Tensor:
    """Return how far apart the two views of a sample are on the unit sphere, on average.

    mean_i |u_i - v_i|^alpha with u = x / |x| and v = y / |y|: Wang and Isola, arXiv:2005.10242,
    Section 4.1.1. Between 0 (aligned) and 2^alpha; independent views of no common direction read 2
    at alpha = 2.

    Parameters
    ----------
    x, y : Tensor or ndarray, shape (N, d), (N,) or (B, N, d)
        Two views of the same samples, of any real dtype and any length but 0. The result is
        differentiable in both.
    alpha : float
        Exponent, > 0.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. NaN if some row is all zeros, which has no direction, or not finite.

    Raises
    ------
    ValueError
        On wrong types or different shapes, or alpha <= 0.
    """
    check_positive(alpha, "alpha")
    a, b = as_pair(x, y, rows=True, columns=True)
    square = (unit_rows(a) - unit_rows(b)).square().sum(-1)
    if alpha != 2:
        # The root has no finite slope at 0: gradient 0 there.
        same = square == 0
        square = torch.where(same, 0, torch.where(same, 1, square).pow(alpha / 2))
    return square.mean(-1)


def uniformity(x: Array, t: float = 2.0, *, chunk: int | None = None) -> Tensor:
    """Return how evenly directions fill the unit sphere: less is more even.

    log mean_{i<j} exp(-t |u_i - u_j|^2) with u = x / |x|: Wang and Isola, arXiv:2005.10242, Section
    4.1.2. 0 if all point the same way, and no less than -4t; evenly spread directions read -2t in
    the limit of many dimensions, and more in few (t = 2: -2.08 for d = 3, -3.88 for d = 64).

    Parameters
    ----------
    x : Tensor or ndarray, shape (N, d), (N,) or (B, N, d)
        At least two samples, of any real dtype and any length but 0. The result is differentiable
        in x.
    t : float
        Inverse squared width of the kernel, > 0.
    chunk : int, optional
        Edge of a tile of the pairs; None fits it to the machine. Beyond a copy of x, memory is
        O(chunk^2), with gradients too, but not with second derivatives.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. NaN if some row is all zeros, which has no direction, or not finite.

    Raises
    ------
    ValueError
        On a wrong type or shape, N < 2, or t <= 0.
    """
    check_positive(t, "t")
    features = as_features(x, "x", least=2)
    pairs = features.shape[-2] * (features.shape[-2] - 1) / 2
    if features.ndim == 3:
        total = torch.stack([log_pair_sum(one, t, chunk) for one in features])
    else:
        total = log_pair_sum(features, t, chunk)
    return total - math.log(pairs)


def log_pair_sum(x: Tensor, t: float, chunk: int | None = None) -> Tensor:
    """Return log sum_{i<j} exp(-t |u_i - u_j|^2) of the directions of x (N, d): ()."""
    u = unit_rows(x)
    # Exponents lie between -4t and 0. Where exp would lose them all, the largest is taken out.
    within = 4 * t < -math.log(torch.finfo(u.dtype).tiny)
    top = u.new_zeros(()) if within else (_nearest_cosine(u.detach()) - 1) * (2 * t)

    def measure(u, v, alike):
        weight = ((u @ v.T - 1) * (2 * t) - top).exp()
        return (2 * weight.triu(1).sum() if alike else weight.sum(),)

    (total,) = sum_over_pairs(measure, (u,), chunk=chunk)
    return (total / 2).log() + top


def _nearest_cosine(u):
    """The largest u_i . u_j of two different rows: ()."""
    largest = u.new_full((), -math.inf)
    for start, rows in zip(range(0, len(u), 256), u.split(256), strict=True):
        cosine = rows @ u.T
        cosine.diagonal(start).fill_(-math.inf)
        largest = torch.maximum(largest, cosine.amax())
    return largest


def modality_gap(x: Array, y: Array) -> Tensor:
    """Return the distance between the centres of two modalities on the unit sphere.

    |mean_i u_i - mean_j v_j| with u = x / |x| and v = y / |y|: Liang et al., arXiv:2203.02053,
    Section 4. Between 0 and 2. Samples of one and the same distribution read about
    sqrt((1 - |mean u|^2) (1/N + 1/M)), not 0.

    Parameters
    ----------
    x, y : Tensor or ndarray, shapes (N, d) and (M, d), or (B, N, d) and (B, M, d)
        Embeddings in one space, of any real dtype and any length but 0; they need not be paired.
        The result is differentiable in both.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. NaN if some row is all zeros, which has no direction, or not finite.

    Raises
    ------
    ValueError
        On wrong types, or widths or batches that differ.
    """
    a, b = as_pair(x, y, columns=True)
    return torch.linalg.vector_norm(unit_rows(a).mean(-2) - unit_rows(b).mean(-2), dim=-1)
