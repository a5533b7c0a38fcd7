"""Models over a grid of n, b and seeds: trained many at once, kept point by point, drawn."""

from pnpfuse.sweep.figures import sweep_figure
from pnpfuse.sweep.heat import heat_figure
from pnpfuse.sweep.ranks import rank_figure
from pnpfuse.sweep.run import SweepError, run_sweep
from pnpfuse.sweep.sensitivity import flatness
from pnpfuse.sweep.verdicts import flatness_said

__all__ = [
    "SweepError",
    "flatness",
    "flatness_said",
    "heat_figure",
    "rank_figure",
    "run_sweep",
    "sweep_figure",
]
