"""The same over batches and processes, and into any logger."""

from .accumulators import RunningMean, as_torchmetric
from .representations import RunningCKA, RunningGap, RunningRank, RunningUniformity
from .reservoir import Buffered
from .tracking import log_scalars, scalars

__all__ = [
    "Buffered",
    "RunningCKA",
    "RunningGap",
    "RunningMean",
    "RunningRank",
    "RunningUniformity",
    "as_torchmetric",
    "log_scalars",
    "scalars",
]
