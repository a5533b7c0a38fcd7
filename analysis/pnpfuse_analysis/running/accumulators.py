"""Statistics over many batches: update, compute, reset, and one result for all processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from pnpfuse_analysis.geometry.embeddings import log_pair_sum, spectral_rank
from pnpfuse_analysis.geometry.features import (
    as_matrix,
    as_pair,
    centred,
    check_dense,
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
from pnpfuse_analysis.samples import Array, as_tensor, check_choice, check_count, widest

from .options import check_function, described

State = tuple[Tensor, ...]


class Accumulator:
    """What all accumulators share; a subclass says what it keeps of a batch, and how that adds up.

    They are used like the metrics of torchmetrics, without needing it: `update` with each batch,
    `compute` at the end, `reset` before the next epoch. `update` records no gradient, does not wait
    for an accelerator, and keeps its state on the device of the batch. A non-finite feature makes
    the result NaN until `reset`, as does having seen no batch. RunningCKA holds fourth powers: NaN
    for features beyond some 1e75 or all below 1e-75, where `cka` goes on.

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
    parts: int | None = None  # tensors to a batch; None takes any number

    def __init__(self) -> None:
        self.state: State | None = None
        self.left_out = 0

    @torch.inference_mode(False)  # its tensors could not be changed later
    @torch.no_grad()
    def update(self, *batch: Array) -> None:
        """Take in one batch: samples first in each part, as in the function of the same name.

        Raises
        ------
        ValueError
            As the function, or if the parts are not as many or as wide as they were. The state is
            then what it was.
        """
        if not batch or self.parts not in (None, len(batch)):
            raise ValueError(f"batch must have {self.parts or 'some'} parts, found {len(batch)}")
        parts = []
        for place, part in enumerate(batch):
            parts.append(as_tensor(part, f"batch[{place}]"))
            check_dense(parts[-1], f"batch[{place}]")
            if not parts[-1].ndim:
                raise ValueError(f"batch[{place}] must have samples on its first axis, found ()")
        rows = [len(part) for part in parts]
        if max(rows) == 0:
            return
        checked = self._checked(*parts)
        if 0 < min(rows) < self.least:
            self.left_out += min(rows)
            return
        self._take(self._summary(*checked))

    def compute(self) -> Any:
        """Return the statistic of all batches since `reset`, a tensor of shape () unless stated."""
        if self.state is None:
            return torch.tensor(torch.nan, dtype=torch.float64, device="cpu")
        return self._value(self.state)

    def reset(self) -> None:
        """Forget all batches."""
        self.state, self.left_out = None, 0

    def merge(self, other: Self) -> None:
        """Take in what another accumulator of the same kind and options has seen.

        What both have seen, as a copy and its original have, counts twice.

        Raises
        ------
        ValueError
            If the other is this one, of another kind or options, or has seen other widths.
        """
        if other is self:
            raise ValueError("other must be another accumulator, found this one")
        found = other._kind() if isinstance(other, Accumulator) else described(other)
        if found != self._kind():
            raise ValueError(
                f"other must be of the kind and options of this one, found {found} and "
                f"{self._kind()}"
            )
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

    def _kind(self) -> str:
        """What must be alike to be merged."""
        own = {
            name: value
            for name, value in vars(self).items()
            if name not in ("state", "left_out") and not name.startswith("_")
        }
        return f"{type(self).__name__}({described(own)[1:-1]})"

    def _take(self, found: State) -> None:
        if self.state is not None:
            shapes, before = ([tuple(part.shape) for part in of] for of in (found, self.state))
            if shapes != before:
                raise ValueError(
                    "batches must have the width of the first one, found sums of shapes "
                    f"{shapes} after {before}"
                )
            found = self._joined(self.to(found[0].device).state, found)
        self.state = found

    def _checked(self, *batch):
        """The parts of a batch as the summary wants them; ValueError if it cannot have them."""
        return batch

    def _summary(self, *batch: Array) -> State:
        """What is kept of one batch."""
        raise NotImplementedError

    def _joined(self, one, other) -> State:
        """What is kept of two sets of batches."""
        return tuple(a + b for a, b in zip(one, other, strict=True))

    def _value(self, state: State) -> Any:
        raise NotImplementedError


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


class RunningMean(Accumulator):
    """Mean over batches of any function of a batch, each by its number of samples.

    Right for what is a mean over samples (`alignment`) or unbiased in each batch (`mmd2` at a fixed
    bandwidth), such as RunningMean(mmd2, bandwidth=2.0, least=2). What is neither, or a record such
    as an `Estimate`, is for Buffered.

    Parameters
    ----------
    function : callable
        Takes the parts of a batch, returns a tensor or a number of any dtype; the mean is kept in
        float64. A batch has as many samples as its first part.
    least : int
        Smallest batch that it can do with; smaller ones are left out.
    **options
        Further arguments of the function.
    """

    def __init__(self, function: Callable[..., Any], *, least: int = 1, **options: Any) -> None:
        super().__init__()
        check_function(function)
        check_count(least, "least", 1)
        self.function, self.least, self.options = function, least, options

    def _summary(self, *batch):
        value = self.function(*batch, **self.options)
        if isinstance(value, Real | np.ndarray | np.generic):
            value = as_tensor(np.asarray(value), "result of the function").to(batch[0].device)
        if not isinstance(value, Tensor):
            raise ValueError(
                f"function must return a tensor or a number, found {type(value).__name__}; "
                "Buffered(function) computes it once, on samples of all batches"
            )
        if not value.is_complex():
            value = value.to(widest(value.device))
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
    ValueError
        If it is no accumulator.
    """
    if not isinstance(accumulator, Accumulator):
        raise ValueError(f"accumulator must be one of pnpfuse_analysis, found {accumulator!r}")
    from .torchmetric import AccumulatorMetric

    return AccumulatorMetric(accumulator)
