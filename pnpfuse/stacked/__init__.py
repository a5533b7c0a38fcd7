"""Many models at once: the trainings of a sweep as one, with the results of each by itself."""

from pnpfuse.stacked.obstacles import obstacle
from pnpfuse.stacked.sizes import stacks
from pnpfuse.stacked.training import fit_stacked

__all__ = ["fit_stacked", "obstacle", "stacks"]
