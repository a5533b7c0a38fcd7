"""Do features collapse: energies, quotients and angles on a graph."""

from .angles import mean_average_distance
from .energy import dirichlet_energy, knn_graph, rayleigh_quotient
from .smoothing import SmoothingProfile, smoothing_profile, smoothing_report

__all__ = [
    "SmoothingProfile",
    "dirichlet_energy",
    "knn_graph",
    "mean_average_distance",
    "rayleigh_quotient",
    "smoothing_profile",
    "smoothing_report",
]
