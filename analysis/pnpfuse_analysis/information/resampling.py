"""Sampling error by subsamples without replacement, the null by permutation, drift with N."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from scipy.special import stdtrit
from torch import Tensor

Measure = Callable[..., Tensor]
Parts = Sequence[Tensor]
Interval = tuple[float | None, tuple[float, float] | None]

# Half-samples drawn for an interval: their spread is then known to about 11 %.
_SUBSAMPLES = 40

# Numbers of disjoint parts that the samples are dealt into for `split_interval`, and how often.
SPLITS = range(2, 11)
_DEALS = 2


def local_interval(local: Tensor, value: float) -> Interval:
    """Return standard error and 95 % interval from local values (N,), or None where not finite.

    Free, and some 15 % narrow for nearest-neighbour estimates, whose local values are not
    independent of each other.
    """
    if local.numel() < 2:
        return None, None
    stderr = float(local.std()) / math.sqrt(len(local))
    return _interval(value, stderr, 1.959964)


def subsample_interval(
    measure: Measure,
    parts: Parts,
    value: float,
    generator: torch.Generator,
) -> Interval:
    """Return standard error and 95 % interval of `value` from half-samples without replacement.

    Both are None where some half-sample has no finite estimate.

    For m = N/2 draws without replacement the spread of the replicates estimates the standard error
    at N itself: (1/m)(1 - m/N) = 1/N. A bootstrap with replacement would put exact copies into
    nearest-neighbour estimates and shift them by far more than its own width.

    Parameters
    ----------
    measure : callable
        Takes parts of the samples, returns local values (m,) whose mean is the estimate.
    parts : sequence of Tensor, each of shape (N, ...)
        Samples that belong together row by row.
    value : float
        The estimate on all samples, the middle of the interval.
    generator : torch.Generator
        Source of the draws.
    """
    n = parts[0].shape[0]
    replicates = torch.stack(
        [
            measure(*(part[rows] for part in parts)).mean()
            for rows in (random_order(n, generator, parts[0])[: n // 2] for _ in range(_SUBSAMPLES))
        ]
    )
    # Half-samples of odd N are a little smaller than N/2.
    m = n // 2
    stderr = float(replicates.std()) * math.sqrt(m / (n - m))
    return _interval(value, stderr, float(stdtrit(_SUBSAMPLES - 1, 0.975)))


def split_interval(
    measure: Measure,
    parts: Parts,
    value: float,
    generator: torch.Generator,
) -> Interval:
    """Return standard error and 95 % interval of `value` from disjoint parts of the samples.

    The variance over s parts of N/s samples each is taken as B s / N; B comes from s = 2 ... 10 by
    maximum likelihood: Holmes and Nemenman, Phys. Rev. E 100 (2019) 022404, arXiv:1903.09280.
    Arguments as in `subsample_interval`.
    """
    n = parts[0].shape[0]
    total, freedom = 0.0, 0
    for count in SPLITS:
        for _ in range(_DEALS):
            dealt = random_order(n, generator, parts[0]).tensor_split(count)
            found = torch.stack([measure(*(p[rows] for p in parts)).mean() for rows in dealt])
            total += (count - 1) * float(found.var()) / count
            freedom += count - 1
    # One deal's freedom: the second looks at the same samples again.
    reach = float(stdtrit(freedom / _DEALS, 0.975))
    return _interval(value, math.sqrt(total / freedom), reach)


def size_sweep(
    measure: Measure,
    parts: Parts,
    value: float,
    halvings: int,
    generator: torch.Generator,
) -> tuple[tuple[int, float], ...]:
    """Return (n, estimate) at N, N/2, N/4 ...: means over as many disjoint parts.

    An unbiased estimate stays where it is; one that drifts has bias left at N. Arguments as in
    `subsample_interval`.
    """
    n = parts[0].shape[0]
    found = [(n, value)]
    for power in range(1, halvings + 1):
        dealt = random_order(n, generator, parts[0]).tensor_split(2**power)
        each = [float(measure(*(part[rows] for part in parts)).mean()) for rows in dealt]
        found.append((n // 2**power, sum(each) / len(each)))
    return tuple(found)


def permutation_null(
    measure: Measure,
    parts: Parts,
    value: float,
    repeats: int,
    generator: torch.Generator,
    unlink: Callable[[Parts, Tensor], Parts],
) -> tuple[float, float]:
    """Return (mean of the null, p-value) of a dependence from parts without it.

    p = (1 + #{null >= value}) / (1 + repeats), which is never 0: Phipson and Smyth, Stat. Appl.
    Genet. Mol. Biol. 9 (2010) 39. `unlink` takes the parts and a random order (N,), and returns
    parts without the dependence; other arguments as in `subsample_interval`.
    """
    n = parts[0].shape[0]
    null = torch.stack(
        [
            measure(*unlink(parts, random_order(n, generator, parts[0]))).mean()
            for _ in range(repeats)
        ]
    )
    return float(null.mean()), (1 + int((null >= value).sum())) / (1 + repeats)


def _interval(value, stderr, reach) -> Interval:
    """(stderr, value -+ reach stderr), or (None, None) if it is not finite."""
    if not math.isfinite(stderr):
        return None, None
    return stderr, (value - reach * stderr, value + reach * stderr)


def random_order(n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return a random order of range(n), drawn where the generator lives, on like's device."""
    return torch.randperm(n, generator=generator, device=generator.device).to(like.device)
