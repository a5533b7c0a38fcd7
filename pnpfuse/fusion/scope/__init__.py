"""SCOPE: shared and complementary cues kept apart, then joined over a graph of the samples."""

from pnpfuse.fusion.scope.ablations import TABLE6
from pnpfuse.fusion.scope.block import SCOPE
from pnpfuse.fusion.scope.disentanglement import ScopeHead
from pnpfuse.fusion.scope.refinement import Refinement
from pnpfuse.fusion.scope.semantic import semantic_graph
from pnpfuse.fusion.scope.simplex import multiplier, printed_weights, simplex_weights

__all__ = [
    "SCOPE",
    "TABLE6",
    "Refinement",
    "ScopeHead",
    "multiplier",
    "printed_weights",
    "semantic_graph",
    "simplex_weights",
]
