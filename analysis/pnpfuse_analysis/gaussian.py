"""Whitening, and the entropy and mutual information of Gaussian samples without bias."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .samples import standardised


class Whitened(NamedTuple):
    """Samples in coordinates with unit covariance on the subspace that they span.

    Attributes
    ----------
    z : Tensor, shape (N, r)
        Centred, with unit covariance (divisor N - 1); r is the rank.
    log_volume : float
        log of the volume in x that a unit volume of z takes: half the log-determinant of the
        covariance at full rank.
    noise : float
        Spread in z, relative to 1, that rounding of the stored values may account for.
    """

    z: Tensor
    log_volume: float
    noise: float


def whitened(x: Tensor, rounding: float, name: str = "x") -> Whitened:
    """Return x whitened, without the directions whose spread is below the rounding of its values.

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Finite samples in float64.
    rounding : float
        Relative rounding step with which the values were stored.
    name : str
        The argument's name, for messages.

    Raises
    ------
    ValueError
        If N <= d: the sample covariance is then singular whatever the distribution.
    """
    n, d = x.shape
    if n <= d:
        raise ValueError(
            f"{name} must have more samples than dimensions for its covariance to be regular, "
            f"found N={n} and d={d}; give more, project to fewer, or do without whitening"
        )
    # Columns first to unit spread, so that units of 1e-9 and 1e9 side by side lose nothing.
    columns, scale, kept = standardised(x)
    if not len(kept):
        return Whitened(columns, 0.0, 0.0)
    q, r = torch.linalg.qr(columns)
    u, singular, vh = torch.linalg.svd(r)
    spread = singular / math.sqrt(n - 1)
    reach = float((x[:, kept].abs().amax(0) / scale).max())
    floor = max(rounding * reach, 10 * d * torch.finfo(x.dtype).eps) * float(spread[0])
    rank = int((spread > floor).sum())
    if rank == len(kept):
        tilt = scale.log().sum()
    else:
        tilt = torch.linalg.svdvals(vh[:rank] * scale).log().sum()
    volume = float(spread[:rank].log().sum() + tilt)
    return Whitened(q @ u[:, :rank] * math.sqrt(n - 1), volume, floor / float(spread[rank - 1]))


def gaussian_entropy(white: Whitened) -> Tensor:
    """Return the entropy of a Gaussian from its whitened samples: local values (N,), nats.

    h = r/2 log(2 pi e) + 1/2 log|S| - 1/2 b(r, N - 1), where b = E log|S| - log|Sigma| is the exact
    Wishart bias, so that the mean is unbiased for Gaussian samples. Ahmed and Gokhale, IEEE Trans.
    Inf. Theory 35 (1989) 688. The local value is -log of the fitted density.
    """
    n, r = white.z.shape
    square = white.z.square().sum(1) * (n / (n - 1))  # its mean is exactly r
    level = r * math.log(2 * math.pi) / 2 + white.log_volume - _wishart_bias(white.z, r) / 2
    return level + square / 2


def gaussian_information(x: Whitened, y: Whitened) -> Tensor:
    """Return the information between jointly Gaussian samples: local values (N,), nats.

    I = -sum_j log sin theta_j over the angles between the two sample spaces (cos theta_j are the
    canonical correlations), less its exact Wishart bias. Infinite if an angle is below the noise.

    Raises
    ------
    ValueError
        If N <= r_x + r_y, the ranks of x and y.
    """
    n, rx = x.z.shape
    ry = y.z.shape[1]
    if n <= rx + ry:
        raise ValueError(
            "x and y must have N > d_x + d_y for method='gaussian', found "
            f"N={n} and d_x + d_y={rx + ry}; give more samples or project to fewer dimensions"
        )
    if not rx * ry:
        return x.z.new_zeros(n)
    u, cosine, vh = torch.linalg.svd(x.z.T @ y.z / (n - 1), full_matrices=False)
    a, b = x.z @ u, y.z @ vh.T
    rest = b - cosine * a
    # The angle from what is left of b, since 1 - cos^2 has no digits where cos is near 1.
    sine = rest.square().mean(0).mul(n / (n - 1)).sqrt()
    if bool((sine <= max(x.noise, y.noise)).any()):
        return torch.full_like(x.z[:, 0], math.inf)
    bias = (_wishart_bias(x.z, rx) + _wishart_bias(y.z, ry) - _wishart_bias(x.z, rx + ry)) / 2
    square = (b.square() - (rest / sine).square()).sum(1) * (n / (n - 1))  # mean exactly 0
    return square / 2 - sine.log().sum() - bias


def _wishart_bias(like: Tensor, d: int) -> Tensor:
    """E log|S| - log|Sigma| for a covariance S of N = len(like) samples in d dimensions; ()."""
    n = like.shape[0]
    half = (n - torch.arange(1, d + 1, dtype=like.dtype, device=like.device)) / 2
    return torch.special.digamma(half).sum() - d * math.log((n - 1) / 2)
