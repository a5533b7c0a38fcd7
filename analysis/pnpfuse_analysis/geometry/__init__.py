"""How features lie: similarity, rank, spread and distance of representations."""

from .embeddings import alignment, effective_rank, modality_gap, uniformity
from .kernels import KernelDistances, kernel_distance, median_bandwidth, mmd2
from .similarity import cka

__all__ = [
    "KernelDistances",
    "alignment",
    "cka",
    "effective_rank",
    "kernel_distance",
    "median_bandwidth",
    "mmd2",
    "modality_gap",
    "uniformity",
]
