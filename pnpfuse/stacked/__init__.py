"""Many models at once: the trainings of a sweep as one, with the results of each by itself."""

from .obstacles import obstacle
from .sizes import stacks
from .training import fit_stacked

__all__ = ["fit_stacked", "obstacle", "stacks"]
