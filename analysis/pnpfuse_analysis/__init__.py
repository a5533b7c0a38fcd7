"""Diagnostics of multimodal features: gradient conflict, graph smoothness, information.

Tensors come in on any device, NumPy arrays too; results stay on the device of their input.
"""

from .conflict import GradReport
from .estimate import Estimate
from .gradients import grad_cosine
from .graphs import dirichlet_energy, knn_graph, rayleigh_quotient
from .information import entropy, mutual_information
from .monitor import ConflictMonitor
from .persample import sample_param_cosine, sample_param_report
from .schedules import every
from .splitting import split_gradients

__all__ = [
    "ConflictMonitor",
    "Estimate",
    "GradReport",
    "dirichlet_energy",
    "entropy",
    "every",
    "grad_cosine",
    "knn_graph",
    "mutual_information",
    "rayleigh_quotient",
    "sample_param_cosine",
    "sample_param_report",
    "split_gradients",
]
