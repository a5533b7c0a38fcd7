"""Diagnostics of multimodal features: gradient conflict, graph smoothness, information.

Tensors come in on any device, NumPy arrays too; results stay on the device of their input.
"""

from .accumulators import (
    RunningCKA,
    RunningGap,
    RunningMean,
    RunningRank,
    RunningUniformity,
    as_torchmetric,
)
from .angles import mean_average_distance
from .bounds import nce_bound
from .conditional import conditional_mutual_information
from .entropies import entropy
from .estimate import Estimate
from .geometry import alignment, effective_rank, modality_gap, uniformity
from .gradients import GradReport, grad_cosine
from .graphs import dirichlet_energy, knn_graph, rayleigh_quotient
from .histogram import Histogram
from .information import mutual_information
from .kernels import KernelDistances, kernel_distance, median_bandwidth, mmd2
from .monitor import ConflictMonitor
from .persample import sample_param_cosine, sample_param_report
from .probe import Probe, conditional_entropy
from .renyi import Renyi
from .reservoir import Buffered
from .schedules import every
from .similarity import cka
from .smoothing import SmoothingProfile, smoothing_profile, smoothing_report
from .splitting import split_gradients
from .total import total_correlation
from .tracking import log_scalars, scalars

__all__ = [
    "Buffered",
    "ConflictMonitor",
    "Estimate",
    "GradReport",
    "Histogram",
    "KernelDistances",
    "Probe",
    "Renyi",
    "RunningCKA",
    "RunningGap",
    "RunningMean",
    "RunningRank",
    "RunningUniformity",
    "SmoothingProfile",
    "alignment",
    "as_torchmetric",
    "cka",
    "conditional_entropy",
    "conditional_mutual_information",
    "dirichlet_energy",
    "effective_rank",
    "entropy",
    "every",
    "grad_cosine",
    "kernel_distance",
    "knn_graph",
    "log_scalars",
    "mean_average_distance",
    "median_bandwidth",
    "mmd2",
    "modality_gap",
    "mutual_information",
    "nce_bound",
    "rayleigh_quotient",
    "sample_param_cosine",
    "sample_param_report",
    "scalars",
    "smoothing_profile",
    "smoothing_report",
    "split_gradients",
    "total_correlation",
    "uniformity",
]
