"""SCOPE's Table 5 on features of your own: what attention and diffusion do to their smoothness."""

from .bounds import energy_bounds
from .figures import smoothing_figure
from .retrained import retrained_study
from .study import smoothing_study

__all__ = ["energy_bounds", "retrained_study", "smoothing_figure", "smoothing_study"]
