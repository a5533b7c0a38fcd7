"""What features carry: entropy and information, with what it takes to trust them."""

from .bounds import nce_bound
from .conditional import conditional_mutual_information
from .conditional_nce import ConditionalNCE
from .entropies import entropy
from .estimate import Estimate
from .histogram import Histogram
from .mutual import mutual_information
from .probe import Probe, conditional_entropy
from .renyi import Renyi
from .total import total_correlation
from .variational import Variational

__all__ = [
    "ConditionalNCE",
    "Estimate",
    "Histogram",
    "Probe",
    "Renyi",
    "Variational",
    "conditional_entropy",
    "conditional_mutual_information",
    "entropy",
    "mutual_information",
    "nce_bound",
    "total_correlation",
]
