"""The bridge: cells and their interfaces, and the hyperparameters (n, b) they stand for."""

from pnpfuse.mapping.answer import Hyperparameters, mapping_dataset
from pnpfuse.mapping.cells import cell_for
from pnpfuse.mapping.inverse import cell_with
from pnpfuse.mapping.reading import hyperparameters, hyperparameters_from

__all__ = [
    "Hyperparameters",
    "cell_for",
    "cell_with",
    "hyperparameters",
    "hyperparameters_from",
    "mapping_dataset",
]
