"""Differential entropy and mutual information of continuous features, in nats."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .estimate import Estimate
from .gaussian import gaussian_entropy, gaussian_information, whitened
from .kraskov import digamma, kl_entropy, ksg_information
from .neighbours import Engine, Metric
from .resampling import permutation_null, subsample_interval
from .samples import (
    Array,
    as_samples,
    check_choice,
    check_count,
    rounding,
    standardised,
    tie_fraction,
)


def entropy(
    x: Array,
    *,
    method: Literal["kl", "gaussian"] = "kl",
    k: int = 3,
    metric: Metric = "l2",
    whiten: bool = True,
    engine: Engine = "auto",
    ci: Literal["subsample"] | None = None,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Return the differential entropy of samples.

    Parameters
    ----------
    x : Tensor or ndarray, shape (N,) or (N, d)
        Independent samples of a continuous variable, on any device; computed in float64.
    method : {"kl", "gaussian"}
        "kl": Kozachenko and Leonenko, Probl. Inf. Transm. 23 (1987) 95, in the form of Kraskov et
        al., Phys. Rev. E 69 (2004) 066138, Eq. (20): psi(N) - psi(k) + log c_d + d <log eps_k>.
        It reads too high where the density ends at a boundary (uniform, d = 4, N = 2000: +0.24) and
        in many dimensions (Gaussian, d = 16: +0.48).
        "gaussian": the entropy of a Gaussian of the same covariance, with the exact Wishart
        correction: an upper bound for any other distribution.
    k : int
        Neighbour used by "kl".
    metric : {"l2", "max"}
        Distance used by "kl".
    whiten : bool
        For "kl": estimate in coordinates of unit covariance and add 1/2 log|S| back. Without it,
        directions of little spread are lost.
    engine : {"auto", "kdtree", "brute"}
        See `pnpfuse_analysis.neighbours.nearest`.
    ci : {None, "subsample"}
        95 % interval from half-samples without replacement; it does not cover bias.
    generator : torch.Generator or None
        Source of the subsamples.

    Returns
    -------
    Estimate
        Of kind "upper_bound" for "gaussian". Where x does not fill its d dimensions (a constant
        column, or with `whiten` linearly dependent ones) its entropy is -inf; the value is then
        that of the subspace it does fill, of dimension `Estimate.d`, and a warning says so. The
        value is -inf where no dimension is filled, or where some sample has k exact copies.

    Raises
    ------
    ValueError
        On wrong shapes, non-finite values, k >= N, N <= d with whitening or "gaussian", integer
        dtypes for "kl", or an unknown option.
    """
    check_choice(method, "method", ("kl", "gaussian"))
    check_choice(metric, "metric", ("l2", "max"))
    check_choice(engine, "engine", ("auto", "kdtree", "brute"))
    check_choice(ci, "ci", (None, "subsample"))
    check_count(k, "k", 1)
    samples = as_samples(x, "x", continuous=method == "kl")
    n, d = samples.shape
    _check_size(n, k if method == "kl" else d, "k" if method == "kl" else "d", ci)
    if method == "gaussian" or whiten:
        z, log_volume, _ = whitened(samples, rounding(x))
    else:
        z, log_volume = samples[:, samples.amax(0) > samples.amin(0)], 0.0
    rank = z.shape[1]

    def measure(part: Tensor) -> Tensor:
        if method == "kl":
            return kl_entropy(part, k, metric, engine) + log_volume
        again = whitened(part, 0.0)
        if again.z.shape[1] < rank:
            return torch.full_like(part[:, 0], -math.inf)
        return gaussian_entropy(again) + log_volume

    notes = []
    if rank < d:
        notes.append(
            f"x fills only {rank} of its {d} dimensions, so its differential entropy is -inf"
            + (f"; the value is that of the {rank}-dimensional subspace." if rank else ".")
        )
    ties = tie_fraction(samples)
    if ties and method == "kl":
        notes.append(_ties_note(ties))
    local = measure(z) if rank else samples.new_full((n,), -math.inf)
    value = float(local.mean())
    if rank and value == -math.inf:
        notes.append(f"Some samples have k={k} or more exact copies, so the estimate is -inf.")
    stderr, interval = _local_interval(local, value)
    if ci == "subsample" and stderr is not None:
        stderr, interval = subsample_interval(measure, (z,), value, generator)
        if stderr is None:
            notes.append("Some half-samples fill fewer dimensions, so there is no interval.")
    return Estimate(
        value=value,
        n=n,
        d=rank,
        method=method,
        stderr=stderr,
        ci=interval if ci else None,
        local=local,
        kind="upper_bound" if method == "gaussian" else "estimate",
        tie_fraction=ties,
        warnings=tuple(notes),
    )


def mutual_information(
    x: Array,
    y: Array,
    *,
    method: Literal["ksg", "gaussian"] = "ksg",
    k: int = 3,
    standardise: bool = True,
    engine: Engine = "auto",
    chunk: int | None = None,
    ci: Literal["subsample", "local"] | None = None,
    null: int = 0,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Return the mutual information between two continuous variables.

    Parameters
    ----------
    x, y : Tensor or ndarray, shape (N,) or (N, d_x) and (N, d_y)
        Independent pairs of samples, on one device; computed in float64.
    method : {"ksg", "gaussian"}
        "ksg": the first estimator of Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69 (2004)
        066138, Eq. (8), with strict counts. Its bias is small up to about two intrinsic dimensions
        a side and strongly negative beyond (truth 2.30, 16 + 16 dimensions, N = 2000: 0.63).
        "gaussian": the information of a Gaussian of the same covariance, from canonical
        correlations, with the exact Wishart correction. Blind to non-linear dependence, useless
        for heavy tails.
    k : int
        Neighbour used by "ksg".
    standardise : bool
        For "ksg": bring each column to unit variance first. Information does not depend on scale,
        but distances do: with x in units 1e8 times those of y, the raw estimate is 0.
    engine : {"auto", "kdtree", "brute"}
        See `pnpfuse_analysis.neighbours.nearest`; "auto" goes by d_x + d_y.
    chunk : int or None
        Rows to a block of brute force; None fits the block to a byte budget.
    ci : {None, "subsample", "local"}
        95 % interval: from half-samples without replacement, or for free from the spread of the
        local values (narrow: it covers about 85 % for "ksg" at N = 500). Neither covers bias.
    null : int
        Number of permutations behind `null_mean` and `p_value`; 0 for none.
    generator : torch.Generator or None
        Source of subsamples and permutations.

    Returns
    -------
    Estimate
        Not clipped: independent variables give values around 0. "ksg" cannot exceed its `ceiling`
        psi(N) - psi(k), which it reaches at I(X; X) = inf.

    Raises
    ------
    ValueError
        On wrong or different shapes, non-finite values, k >= N, N <= d_x or d_x + d_y for
        "gaussian", integer dtypes for "ksg", or an unknown option.
    """
    check_choice(method, "method", ("ksg", "gaussian"))
    check_choice(ci, "ci", (None, "subsample", "local"))
    check_choice(engine, "engine", ("auto", "kdtree", "brute"))
    check_count(k, "k", 1)
    check_count(null, "null", 0)
    pair = [as_samples(a, b, continuous=method == "ksg") for a, b in ((x, "x"), (y, "y"))]
    if len(pair[0]) != len(pair[1]) or pair[0].device != pair[1].device:
        raise ValueError(
            f"x and y must be pairs of samples on one device, found N={len(pair[0])} on "
            f"{pair[0].device} and N={len(pair[1])} on {pair[1].device}"
        )
    n = len(pair[0])
    d = pair[0].shape[1] + pair[1].shape[1]
    _check_size(n, k if method == "ksg" else d, "k" if method == "ksg" else "d_x + d_y", ci)
    shares = [tie_fraction(part) for part in pair]
    notes = [
        f"{name} is constant, so the information is 0."
        for name, part in zip("xy", pair, strict=True)
        if not bool((part != part[0]).any())
    ]
    steps = rounding(x), rounding(y)
    if method == "ksg" and standardise:
        pair = [_standard_columns(part) for part in pair]

    def measure(a: Tensor, b: Tensor) -> Tensor:
        if method == "ksg":
            return ksg_information(a, b, k, engine, chunk)
        return gaussian_information(whitened(a, steps[0], "x"), whitened(b, steps[1], "y"))

    local = measure(*pair)
    value = float(local.mean())
    ceiling = digamma(n) - digamma(k) if method == "ksg" else None
    if max(shares) and method == "ksg":
        notes.append(_ties_note(max(shares)))
    if ceiling is not None and value > 0.9 * ceiling:
        notes.append(
            f"The value is near the ceiling psi(N) - psi(k) = {ceiling:.3g} nats of this method "
            "and sample size; the truth may be any larger number."
        )
    if value == math.inf:
        notes.append("A linear combination of x determines one of y, so the information is inf.")
    if value < 0:
        notes.append("The value is negative by chance or bias: no dependence was found.")
    stderr, interval = _local_interval(local, value)
    if ci == "subsample" and stderr is not None:
        stderr, interval = subsample_interval(measure, pair, value, generator)
    null_mean, p_value = (
        permutation_null(measure, pair[0], pair[1], value, null, generator)
        if null
        else (None, None)
    )
    return Estimate(
        value=value,
        n=n,
        d=d,
        method=method,
        stderr=stderr,
        ci=interval if ci else None,
        null_mean=null_mean,
        p_value=p_value,
        local=local,
        ceiling=ceiling,
        tie_fraction=max(shares),
        warnings=tuple(notes),
    )


def _check_size(n, least, name, ci):
    """Raise ValueError unless N, or the half-samples of ci="subsample", exceed `least`."""
    size, what = (n // 2, "half-samples") if ci == "subsample" else (n, "samples")
    if size <= least:
        raise ValueError(
            f"{name}={least} asks for more than {least} {what}, found {size} (N={n}); "
            f"give more samples or lower {name}"
        )


def _standard_columns(x):
    """The columns of x (N, d) that vary, at unit variance; one of zeros if none does."""
    columns = standardised(x)[0]
    return columns if columns.shape[1] else torch.zeros_like(x[:, :1])


def _local_interval(local, value):
    """Standard error and 95 % interval from local values (N,), or (None, None) if not finite."""
    stderr = float(local.std()) / math.sqrt(len(local))
    if not math.isfinite(stderr):
        return None, None
    return stderr, (value - 1.959964 * stderr, value + 1.959964 * stderr)


def _ties_note(share):
    return (
        f"{share:.1%} of the samples have exact copies, which a continuous variable lacks: values "
        "were rounded or repeated, and the estimate is biased. Drop repeated rows, or add noise "
        "below the rounding step from a seeded generator."
    )
