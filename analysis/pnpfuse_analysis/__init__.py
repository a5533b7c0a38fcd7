"""Diagnostics of multimodal features: gradient conflict, graph smoothness, information.

Tensors come in on any device, NumPy arrays too; results stay on the device of their input.
"""

from .bounds import nce_bound
from .conditional import conditional_mutual_information
from .entropies import entropy
from .estimate import Estimate
from .gradients import GradReport, grad_cosine
from .graphs import dirichlet_energy, knn_graph, rayleigh_quotient
from .histogram import Histogram
from .information import mutual_information
from .probe import Probe, conditional_entropy
from .renyi import Renyi
from .total import total_correlation

__all__ = [
    "Estimate",
    "GradReport",
    "Histogram",
    "Probe",
    "Renyi",
    "conditional_entropy",
    "conditional_mutual_information",
    "dirichlet_energy",
    "entropy",
    "grad_cosine",
    "knn_graph",
    "mutual_information",
    "nce_bound",
    "rayleigh_quotient",
    "total_correlation",
]
