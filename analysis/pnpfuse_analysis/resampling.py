"""Sampling error by subsamples without replacement, and the null by permutation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from scipy.special import stdtrit
from torch import Tensor

# Half-samples drawn for an interval: their spread is then known to about 11 %.
_SUBSAMPLES = 40


def subsample_interval(
    measure: Callable[..., Tensor],
    parts: Sequence[Tensor],
    value: float,
    generator: torch.Generator | None = None,
) -> tuple[float | None, tuple[float, float] | None]:
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
    generator : torch.Generator or None
        Source of the draws; None takes torch's global one.
    """
    n = parts[0].shape[0]
    replicates = torch.stack(
        [
            measure(*(part[rows] for part in parts)).mean()
            for rows in (_shuffled(n, generator, parts[0])[: n // 2] for _ in range(_SUBSAMPLES))
        ]
    )
    # Half-samples of odd N are a little smaller than N/2.
    m = n // 2
    stderr = float(replicates.std()) * math.sqrt(m / (n - m))
    if not math.isfinite(stderr):
        return None, None
    reach = float(stdtrit(_SUBSAMPLES - 1, 0.975)) * stderr
    return stderr, (value - reach, value + reach)


def permutation_null(
    measure: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    value: float,
    repeats: int,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """Return (mean of the null, p-value) of a dependence from permuted rows of y.

    p = (1 + #{null >= value}) / (1 + repeats), which is never 0: Phipson and Smyth, Stat. Appl.
    Genet. Mol. Biol. 9 (2010) 39. Arguments as in `subsample_interval`.
    """
    null = torch.stack(
        [measure(x, y[_shuffled(len(y), generator, y)]).mean() for _ in range(repeats)]
    )
    return float(null.mean()), (1 + int((null >= value).sum())) / (1 + repeats)


def _shuffled(n: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """A random order of range(n), drawn where the generator lives, on the device of `like`."""
    device = "cpu" if generator is None else generator.device
    return torch.randperm(n, generator=generator, device=device).to(like.device)
