"""Diagnostics of multimodal features: gradient conflict, graph smoothness, information.

Tensors come in on any device, NumPy arrays too; results stay on the device of their input.
"""

from .angles import mean_average_distance
from .bounds import nce_bound
from .entropies import entropy
from .estimate import Estimate
from .gradients import GradReport, grad_cosine
from .graphs import dirichlet_energy, knn_graph, rayleigh_quotient
from .information import mutual_information
from .smoothing import SmoothingProfile, smoothing_profile, smoothing_report

__all__ = [
    "Estimate",
    "GradReport",
    "SmoothingProfile",
    "dirichlet_energy",
    "entropy",
    "grad_cosine",
    "knn_graph",
    "mean_average_distance",
    "mutual_information",
    "nce_bound",
    "rayleigh_quotient",
    "smoothing_profile",
    "smoothing_report",
]
