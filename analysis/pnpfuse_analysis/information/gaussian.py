"""Whitening, and the entropy and (conditional) information of Gaussian samples without bias."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse_analysis.samples import standardised

LINEAR = "linear dependence, the only kind that this method sees,"


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
    level = r * math.log(2 * math.pi) / 2 + white.log_volume - _wishart_bias(white.z, n, r) / 2
    return level + square / 2


def residual(x: Whitened, z: Whitened) -> Whitened:
    """Return what a linear fit to z leaves of x, whitened again; its `log_volume` is not kept.

    Directions of x that z determines, to within the noise of both, are left out.
    """
    n = len(x.z)
    left = x.z - z.z @ (z.z.T @ x.z) / (n - 1)
    u, singular, _ = torch.linalg.svd(left, full_matrices=False)
    spread = singular / math.sqrt(n - 1)  # sines of the angles between x and z
    floor = x.noise + z.noise
    rank = int((spread > floor).sum())
    noise = floor / float(spread[rank - 1]) if rank else 0.0
    return Whitened(u[:, :rank] * math.sqrt(n - 1), 0.0, noise)


def gaussian_information(x: Whitened, y: Whitened, spent: int = 0) -> Tensor:
    """Return the information between jointly Gaussian samples: local values (N,), nats.

    I = -sum_j log sin theta_j over the angles between the two sample spaces (cos theta_j are the
    canonical correlations), less its exact Wishart bias. Infinite if an angle is below the noise.

    Parameters
    ----------
    x, y : Whitened
        Samples; for information given z their residuals, whose angles are the partial canonical
        correlations.
    spent : int
        Degrees of freedom that the residuals have lost: the rank of z.

    Raises
    ------
    ValueError
        If N <= r_x + r_y + spent, where r_x and r_y are the ranks of x and y.
    """
    n, rx = x.z.shape
    ry = y.z.shape[1]
    free = n - spent
    if free <= rx + ry:
        raise ValueError(
            "a Gaussian estimate needs more samples than dimensions, found "
            f"N={n} and {rx + ry + spent} dimensions in all; give more samples or project to fewer"
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
    bias = sum(
        sign * _wishart_bias(x.z, free, d) / 2 for sign, d in ((1, rx), (1, ry), (-1, rx + ry))
    )
    square = (b.square() - (rest / sine).square()).sum(1) * (n / (n - 1))  # mean exactly 0
    return square / 2 - sine.log().sum() - bias


def tail_notes(named: dict[str, Tensor]) -> tuple[str, ...]:
    """A sentence for each of the samples {name: (N, d)} with a column of heavy tails.

    Heavy is an excess kurtosis above 3, that of a Laplace variable, by more than five standard
    errors of a Gaussian's.
    """
    notes = []
    for name, x in named.items():
        columns = standardised(x)[0]
        if not columns.shape[1]:
            continue
        excess = float(columns.pow(4).mean(0).amax()) - 3
        if excess > 3 + 5 * math.sqrt(24 / len(x)):
            notes.append(
                f"{name} has heavy tails (excess kurtosis {excess:.3g}): a covariance is then set "
                "by few samples, and the estimate and its interval are unreliable. Compare with "
                "method='copula' or a nearest-neighbour method."
            )
    return tuple(notes)


def _wishart_bias(like: Tensor, n: int, d: int) -> Tensor:
    """E log|S| - log|Sigma| of a covariance S with n - 1 degrees of freedom in d dimensions; ()."""
    half = (n - torch.arange(1, d + 1, dtype=like.dtype, device=like.device)) / 2
    return torch.special.digamma(half).sum() - d * math.log((n - 1) / 2)
