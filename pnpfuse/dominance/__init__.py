"""Modality laziness: what a joint model has learned of each modality, beside that one alone."""

from pnpfuse.dominance.figures import laziness_figure
from pnpfuse.dominance.measurement import laziness
from pnpfuse.dominance.tables import laziness_table

__all__ = ["laziness", "laziness_figure", "laziness_table"]
