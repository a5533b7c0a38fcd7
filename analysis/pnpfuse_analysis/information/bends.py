"""Whether two variables change with a third in other ways than by a straight line."""

from __future__ import annotations

import torch
from scipy.special import fdtrc
from torch import Tensor

from .copula import normal_scores

# Quantile bins, columns looked at, and the chance at which a straight dependence is called bent.
_BINS = 16
_LOOKED_AT = 16
_ALARM = 1e-3


def bend_notes(x: Tensor, y: Tensor, z: Tensor) -> tuple[str, ...]:
    """Return a warning if what a linear fit to z left of x and of y still changes with z.

    Parameters
    ----------
    x, y : Tensor, shape (N, r)
        Residuals of that fit.
    z : Tensor, shape (N, d)
    """
    if not (_changes(x, z) and _changes(y, z)):
        return ()
    return (
        "x and y both change with z in other ways than by a straight line, which alone is taken "
        "out: what z explains of both still counts as information between them, and the value is "
        "too high, as is its significance. Compare with method='ksg' or method='cnce'.",
    )


def _changes(left: Tensor, z: Tensor) -> bool:
    """Whether means of what is left (N, r) differ among quantile bins of some column of z (N, d).

    F test of one-way analysis of variance, on normal scores, for the first columns of both.
    """
    n = len(z)
    scores = normal_scores(left[:, :_LOOKED_AT])
    columns = z.T[:_LOOKED_AT].contiguous()
    below = torch.searchsorted(columns.sort(1).values, columns)
    least = 1.0
    for place in below:
        bins, sizes = torch.unique(place * _BINS // n, return_inverse=True, return_counts=True)[1:]
        between, free = len(sizes) - 1, n - len(sizes)
        if not between or free < 1 or not scores.shape[1]:
            continue
        total = torch.zeros_like(scores[: len(sizes)]).index_add_(0, bins, scores)
        shared = (total.square() / sizes[:, None]).sum(0)
        rest = (scores.square().sum(0) - shared).clamp(min=torch.finfo(z.dtype).tiny)
        ratio = float((shared / rest).max()) * free / between
        least = min(least, float(fdtrc(between, free, ratio)))
    return least * len(below) * max(scores.shape[1], 1) < _ALARM
