"""Statistics over many batches: update, compute, reset, and one result for all processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from pnpfuse_analysis.geometry.features import check_dense
from pnpfuse_analysis.samples import Array, as_tensor, check_count, widest

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
