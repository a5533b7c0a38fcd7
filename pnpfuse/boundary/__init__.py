"""The interface of simulated cells as torch tensors: b, and what goes with it, can be learned."""

from pnpfuse.boundary.cells import Boundary, pnp_boundary
from pnpfuse.boundary.layer import PNPBoundary

__all__ = ["Boundary", "PNPBoundary", "pnp_boundary"]
