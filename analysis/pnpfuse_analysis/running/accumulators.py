"""Statistics over many batches: update, compute, reset, and one result for all processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from pnpfuse_analysis.geometry.embeddings import log_pair_sum, spectral_rank
from pnpfuse_analysis.geometry.features import as_matrix, as_pair, centred, unit_rows
from pnpfuse_analysis.geometry.similarity import (
    Bandwidth,
    Kernel,
    gaussian_hsic,
    hsic_ratio,
    linear_hsic,
)
from pnpfuse_analysis.samples import Array, as_tensor, check_choice

State = tuple[Tensor, ...]


class Accumulator:
    """What all accumulators share; a subclass says what it keeps of a batch, and how that adds up.

    They are used like the metrics of torchmetrics, without needing it: `update` with each batch,
    `compute` at the end, `reset` before the next epoch. `update` records no gradient, does not wait
    for an accelerator, and keeps its state on the device of the batch. A non-finite feature makes
    the result NaN until `reset`, as does having seen no batch. What holds squares (RunningCKA:
    fourth powers) needs features whose powers are finite, which the functions do not.

    They are no modules on purpose: DistributedDataParallel would overwrite their buffers by those
    of the first process, and `model.half()` would round them. Pickle one to save it.

    Attributes
    ----------
    state : tuple of Tensor, or None
        All that is kept; None before the first batch.
    left_out : int
        Samples of batches too small for the statistic.
    """

    least = 1

    def __init__(self) -> None:
        self.state: State | None = None
        self.left_out = 0

    @torch.inference_mode(False)  # its tensors could not be changed later
    @torch.no_grad()
    def update(self, *batch: Array) -> None:
        """Take in one batch: samples first in each part, as in the function of the same name."""
        parts = [as_tensor(part, f"part {place} of the batch") for place, part in enumerate(batch)]
        rows = [len(part) if part.ndim else 1 for part in parts]
        if max(rows) == 0 or 0 < min(rows) < self.least:
            self.left_out += min(rows)
            return
        self._take(self._summary(*parts))

    def compute(self) -> Any:
        """Return the statistic of all batches since `reset`, a tensor of shape () unless stated."""
        if self.state is None:
            return torch.tensor(torch.nan, dtype=torch.float64)
        return self._value(self.state)

    def reset(self) -> None:
        """Forget all batches."""
        self.state, self.left_out = None, 0

    def merge(self, other: Self) -> None:
        """Take in what another accumulator of the same kind and options has seen."""
        if other.state is not None:
            self._take(other.state)
        self.left_out += other.left_out

    def sync(self, group: Any = None) -> Self:
        """Return an accumulator of the batches of all processes; it is the same in each.

        This one stays as it is and may go on. A collective call: every process of the group has to
        make it, with or without batches of its own. Alone, it is a copy.
        """
        whole = copy.copy(self)
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            whole.state = None if self.state is None else tuple(part.clone() for part in self.state)
            return whole
        mine = None if self.state is None else tuple(part.cpu() for part in self.state)
        found: list[Any] = [None] * torch.distributed.get_world_size(group)
        torch.distributed.all_gather_object(found, (mine, self.left_out), group=group)
        whole.reset()
        for state, left_out in found:
            if state is not None:
                whole._take(state)
            whole.left_out += left_out
        return whole if self.state is None else whole.to(self.state[0].device)

    def to(self, device: torch.device | str) -> Self:
        """Move the state; return self."""
        if self.state is not None:
            self.state = tuple(part.to(device) for part in self.state)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.compute()})"

    def _take(self, found: State) -> None:
        if self.state is None:
            self.state = found
        else:
            self.state = self._joined(self.to(found[0].device).state, found)

    def _summary(self, *batch: Array) -> State:
        """What is kept of one batch."""
        raise NotImplementedError

    def _joined(self, one, other) -> State:
        """What is kept of two sets of batches."""
        return tuple(a + b for a, b in zip(one, other, strict=True))

    def _value(self, state: State) -> Any:
        raise NotImplementedError


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
        self.unbiased, self.kernel, self.bandwidth = unbiased, kernel, bandwidth
        self.least = 4 if unbiased else 2

    def _summary(self, x, y):
        as_matrix(x, "x")
        a, b = as_pair(x, y, rows=True)
        if self.kernel == "linear":
            hsic = linear_hsic(centred(a), centred(b), self.unbiased)
        else:
            hsic = gaussian_hsic(a, b, self.bandwidth, self.unbiased)
        return len(a) * hsic, a.new_full((), len(a))

    def _value(self, state):
        total, count = state
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

    def __init__(self, *, centre: bool = False) -> None:
        super().__init__()
        self.centre = centre

    def _summary(self, x):
        features = as_matrix(x, "x")
        mean = features.mean(0)
        rest = features - mean
        return features.new_full((), len(features)), mean, rest.T @ rest

    def _joined(self, one, other):
        n, mean, scatter = one
        m, mean_other, scatter_other = other
        apart, total = mean_other - mean, n + m
        between = torch.outer(apart, apart) * (n * m / total)
        return total, mean + apart * (m / total), scatter + scatter_other + between

    def _value(self, state):
        count, mean, scatter = state
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

    least = 2

    def __init__(self, t: float = 2.0) -> None:
        super().__init__()
        self.t = t

    def _summary(self, x):
        features = as_matrix(x, "x")
        pairs = features.new_full((), len(features) * (len(features) - 1) / 2)
        return log_pair_sum(features, self.t), pairs.log()

    def _joined(self, one, other):
        return tuple(torch.logaddexp(a, b) for a, b in zip(one, other, strict=True))

    def _value(self, state):
        total, pairs = state
        return total - pairs


class RunningGap(Accumulator):
    """Modality gap over batches, exactly as over all samples at once: `update(x, y)`."""

    def _summary(self, x, y):
        as_matrix(x, "x")
        return tuple(
            torch.cat((unit_rows(part).sum(0), part.new_full((1,), len(part))))
            for part in as_pair(x, y, columns=True)
        )

    def _value(self, state):
        one, other = (total[:-1] / total[-1] for total in state)
        return torch.linalg.vector_norm(one - other)


class RunningMean(Accumulator):
    """Mean over batches of any function of a batch, each by its number of samples.

    Right for what is a mean over samples (`alignment`) or unbiased in each batch (`mmd2` at a fixed
    bandwidth), such as RunningMean(mmd2, bandwidth=2.0, least=2).

    Parameters
    ----------
    function : callable
        Takes the parts of a batch, returns a tensor.
    least : int
        Smallest batch that it can do with; smaller ones are left out.
    **options
        Further arguments of the function.
    """

    def __init__(self, function: Callable[..., Tensor], *, least: int = 1, **options: Any) -> None:
        super().__init__()
        self.function, self.least, self.options = function, least, options

    def _summary(self, *batch):
        value = self.function(*batch, **self.options)
        return value * len(batch[0]), value.new_full((), len(batch[0]))

    def _value(self, state):
        total, count = state
        return total / count


def as_torchmetric(accumulator: Accumulator) -> Any:
    """Return a torchmetrics Metric around an accumulator, for a MetricCollection and the like.

    The accumulator itself is copied, and its batches so far forgotten. In several processes,
    `compute` gives the result of all of them in each.

    Raises
    ------
    ImportError
        Without torchmetrics, which nothing else here needs.
    """
    from .torchmetric import AccumulatorMetric

    return AccumulatorMetric(accumulator)
