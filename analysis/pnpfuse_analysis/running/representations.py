"""How representations lie, over batches: similarity, rank, uniformity, modality gap."""

from __future__ import annotations

import torch

from pnpfuse_analysis.geometry.embeddings import log_pair_sum, spectral_rank
from pnpfuse_analysis.geometry.features import (
    as_matrix,
    as_pair,
    centred,
    check_positive,
    unit_rows,
)
from pnpfuse_analysis.geometry.similarity import (
    Bandwidth,
    Kernel,
    as_bandwidths,
    gaussian_hsic,
    hsic_ratio,
    linear_hsic,
)
from pnpfuse_analysis.samples import check_choice

from .accumulators import Accumulator


def _widths(*parts):
    """Nothing, in a shape that holds the widths of the parts: (0, d_x, d_y).

    As a part of a state it keeps features of different widths from being added up.
    """
    return parts[0].new_empty(0, *(part.shape[1] for part in parts))


class RunningCKA(Accumulator):
    """CKA over batches: the ratio of mean HSIC values, not the mean of ratios.

    With the unbiased HSIC_1 the mean over batches estimates what all samples at once would give,
    for any batch size >= 4: Nguyen, Raghu and Kornblith, arXiv:2010.15327, Eq. (3). Batches count
    by their number of samples, smaller ones are left out.

    Parameters
    ----------
    unbiased, kernel, bandwidth
        As in `cka`. For "rbf" the bandwidth must be given: each batch would have its own. The
        biased form depends on the batch size.
    """

    parts = 2

    def __init__(
        self,
        *,
        unbiased: bool = True,
        kernel: Kernel = "linear",
        bandwidth: Bandwidth | None = None,
    ) -> None:
        super().__init__()
        check_choice(kernel, "kernel", ("linear", "rbf"))
        if (bandwidth is None) != (kernel == "linear"):
            raise ValueError(
                "bandwidth must be given for kernel='rbf', and for no other, found "
                f"{bandwidth!r} for {kernel!r}; median_bandwidth(x) gives one to fix once"
            )
        if bandwidth is not None:
            as_bandwidths(bandwidth, (torch.empty((), device="cpu"),) * 2)
        self.unbiased, self.kernel, self.bandwidth = unbiased, kernel, bandwidth
        self.least = 4 if unbiased else 2

    def _checked(self, x, y):
        as_matrix(x, "x")
        return as_pair(x, y, rows=True)

    def _summary(self, x, y):
        if self.kernel == "linear":
            hsic = linear_hsic(centred(x), centred(y), self.unbiased)
        else:
            hsic = gaussian_hsic(x, y, self.bandwidth, self.unbiased)
        return len(x) * hsic, x.new_full((), len(x)), _widths(x, y)

    def _value(self, state):
        total, count, _ = state
        return hsic_ratio(total / count)


class RunningRank(Accumulator):
    """Effective rank over batches, from a covariance that is merged without cancellation.

    Merging after Chan, Golub and LeVeque, Am. Stat. 37 (1983) 242. Singular values are the roots of
    eigenvalues here, and below 1e-8 sqrt(d) of the largest they are rounding, which is left out;
    `effective_rank` resolves them.

    Parameters
    ----------
    centre : bool
        As in `effective_rank`.
    """

    parts = 1

    def __init__(self, *, centre: bool = False) -> None:
        super().__init__()
        self.centre = centre

    def _checked(self, x):
        return (as_matrix(x, "x"),)

    def _summary(self, x):
        # In units of its largest entry, so that 1e-200 and 1e200 are as good as 1.
        unit = x.abs().amax()
        x = x / torch.where(unit == 0, 1, unit)
        mean = x.mean(0)
        rest = x - mean
        return unit, x.new_full((), len(x)), mean, rest.T @ rest

    def _joined(self, one, other):
        unit = torch.maximum(one[0], other[0])
        a, b = (part[0] / torch.where(unit == 0, 1, unit) for part in (one, other))
        _, n, mean, scatter = one
        _, m, mean_other, scatter_other = other
        mean, scatter = mean * a, scatter * a.square()
        apart, total = mean_other * b - mean, n + m
        between = torch.outer(apart, apart) * (n * m / total)
        scatter = scatter + scatter_other * b.square() + between
        return unit, total, mean + apart * (m / total), scatter

    def _value(self, state):
        _, count, mean, scatter = state
        if not self.centre:
            scatter = scatter + count * torch.outer(mean, mean)
        finite = torch.isfinite(scatter).all()
        values = torch.linalg.eigvalsh(torch.where(finite, scatter, 0))
        floor = len(values) * torch.finfo(values.dtype).eps * values[-1]
        singular = torch.where(values > floor, values.clamp_min(0), 0).sqrt()
        return torch.where(finite, spectral_rank(singular), torch.nan)


class RunningUniformity(Accumulator):
    """Uniformity over batches, from the pairs inside each batch.

    Parameters
    ----------
    t : float
        As in `uniformity`.
    """

    least, parts = 2, 1

    def __init__(self, t: float = 2.0) -> None:
        super().__init__()
        check_positive(t, "t")
        self.t = t

    def _checked(self, x):
        return (as_matrix(x, "x"),)

    def _summary(self, x):
        pairs = x.new_full((), len(x) * (len(x) - 1) / 2)
        return log_pair_sum(x, self.t), pairs.log(), _widths(x)

    def _joined(self, one, other):
        return tuple(torch.logaddexp(a, b) for a, b in zip(one, other, strict=True))

    def _value(self, state):
        total, pairs, _ = state
        return total - pairs


class RunningGap(Accumulator):
    """Modality gap over batches, exactly as over all samples at once: `update(x, y)`."""

    parts = 2

    def _checked(self, x, y):
        as_matrix(x, "x")
        return as_pair(x, y, columns=True)

    def _summary(self, x, y):
        return tuple(
            torch.cat((unit_rows(part).sum(0), part.new_full((1,), len(part)))) for part in (x, y)
        )

    def _value(self, state):
        one, other = (total[:-1] / total[-1] for total in state)
        return torch.linalg.vector_norm(one - other)
