"""Do losses fight: cosines of their gradients, overall and for each sample."""

from .conflict import GradReport
from .cosines import grad_cosine
from .monitor import ConflictMonitor
from .persample import sample_param_cosine, sample_param_report
from .schedules import every
from .splitting import split_gradients

__all__ = [
    "ConflictMonitor",
    "GradReport",
    "every",
    "grad_cosine",
    "sample_param_cosine",
    "sample_param_report",
    "split_gradients",
]
