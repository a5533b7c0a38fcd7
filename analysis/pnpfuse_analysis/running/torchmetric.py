"""Accumulators as metrics of torchmetrics; the one module that imports it."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from .accumulators import Accumulator


class AccumulatorMetric(Metric):
    """A torchmetrics Metric whose states are those of an accumulator.

    torchmetrics sets, copies and swaps states behind a metric's back (`forward`, compute groups):
    what its list holds is what counts.
    """

    full_state_update = True
    is_differentiable = False

    def __init__(self, accumulator: Accumulator) -> None:
        super().__init__()
        self.accumulator = copy.copy(accumulator)
        self.accumulator.reset()
        self.tensors: list[Tensor]
        self.add_state("tensors", default=[], dist_reduce_fx=None)

    def update(self, *batch: Any) -> None:
        held = self._filled()
        held.update(*batch)
        self.tensors = list(held.state or ())

    def compute(self) -> Any:
        return self._filled().compute()

    def reset(self) -> None:
        super().reset()
        self.accumulator.reset()

    def _filled(self):
        self.accumulator.state = tuple(self.tensors) or None
        return self.accumulator

    def _sync_dist(self, dist_sync_fn: Any = None, process_group: Any = None) -> None:
        # torchmetrics reduces states one by one, and needs some in every process: a mean goes with
        # its count, and a process may have had no batch.
        group = process_group or self.process_group
        self.tensors = list(self._filled().sync(group).state or ())
