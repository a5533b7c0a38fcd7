"""Models over a grid of n, b and seeds: trained many at once, kept point by point, drawn."""

from pnpfuse.sweep.run import SweepError, run_sweep

__all__ = ["SweepError", "run_sweep"]
