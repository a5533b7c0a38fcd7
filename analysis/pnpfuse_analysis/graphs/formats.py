"""Graphs as people hold them: lists of edges, sparse matrices of torch or SciPy, data objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

from pnpfuse_analysis.samples import Array

# A tensor or ndarray (2, E), a sparse matrix (V, V) of torch or SciPy, or an object with an
# `edge_index`, such as PyTorch Geometric's Data, which is never imported here.
GraphLike = Any


@dataclass(frozen=True, eq=False)
class EdgeList:
    """What a graph says about its edges; its numbers are not checked yet.

    Attributes
    ----------
    index : Tensor or ndarray, shape (2, E)
        Row 0 the source i, row 1 its neighbour j.
    weight : Tensor or ndarray of shape (E,), or None
    batch : Tensor or ndarray of shape (V,), or None
        Graph that each node belongs to.
    """

    index: Tensor | NDArray[Any]
    weight: Array | None = None
    batch: Tensor | NDArray[Any] | None = None


def edge_list(graph: GraphLike, edge_weight: Array | None, count: int) -> EdgeList:
    """Return the edges of a graph of `count` nodes, with their weights if it has any.

    An entry A[i, j] of a sparse matrix is the edge (i, j), its value the weight; values that
    require a gradient stay in their graph. Of an object with an `edge_index` its `edge_weight` and
    `batch` are taken as well, unless they are missing or None.

    Raises
    ------
    ValueError
        If edge_index is none of these, a matrix of another shape than (V, V), or weighted while
        edge_weight is given too.
    """
    found = _own_edges(graph, count)
    if edge_weight is None:
        return found
    if found.weight is not None:
        raise ValueError(
            "edge_weight must be None where the graph has weights of its own, found both in a "
            f"{type(graph).__name__}; pass its bare edge_index (2, E) to replace them"
        )
    return replace(found, weight=edge_weight)


def _own_edges(graph, count):
    if issparse(graph):
        _check_square(graph.shape, count)
        entries = graph.tocoo()
        index = np.stack((entries.row, entries.col)).astype(np.int64)
        return EdgeList(index, entries.data)
    if isinstance(graph, Tensor) and graph.layout != torch.strided:
        _check_square(graph.shape, count)
        entries = graph.to_sparse_coo().coalesce()
        return EdgeList(entries.indices(), entries.values())
    if isinstance(graph, Tensor | np.ndarray):
        if tuple(graph.shape) == (count, count) and count != 2:
            raise ValueError(
                f"edge_index must have shape (2, E), found {tuple(graph.shape)}; an adjacency "
                "matrix is taken in sparse form, as in torch.as_tensor(A).to_sparse()"
            )
        return EdgeList(graph)
    if getattr(graph, "edge_index", None) is not None:
        inner = _own_edges(graph.edge_index, count)
        weight = getattr(graph, "edge_weight", None)
        return EdgeList(
            inner.index,
            inner.weight if weight is None else weight,
            getattr(graph, "batch", None),
        )
    raise ValueError(
        "edge_index must be a sparse matrix, an object with an edge_index, a torch tensor or a "
        f"NumPy array, found {type(graph).__name__}"
    )


def _check_square(shape, count):
    if tuple(shape) != (count, count):
        raise ValueError(
            f"edge_index as a sparse matrix must have shape (V, V) = ({count}, {count}), one row "
            f"for each node of x, found {tuple(shape)}"
        )
