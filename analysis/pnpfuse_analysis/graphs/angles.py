"""Mean average distance: how far apart the features of neighbours point."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pnpfuse_analysis.samples import Array, check_count

from .differences import squared_differences
from .edges import Direction, as_graph
from .formats import GraphLike


def mean_average_distance(
    x: Array,
    edge_index: GraphLike | None = None,
    *,
    direction: Direction = "as_given",
    batch: Tensor | NDArray[Any] | None = None,
    mask: Tensor | NDArray[Any] | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Return the mean over nodes of the mean cosine distance to their neighbours.

    MAD = mean over i of the mean over neighbours j of 1 - cos(x_i, x_j): 0 where neighbours point
    the same way, 1 where they are orthogonal, at most 2. It does not change with the scale of any
    node's features, and dies when a large common offset is added, where the energy stays.

    Parameters
    ----------
    x : Tensor or ndarray, shape (V, d), (V,) or (B, V, d)
        Node features of any real dtype. The result is differentiable in x.
    edge_index : optional
        A graph as in `dirichlet_energy`: the neighbours of i are the j of its edges (i, j). Edges
        of weight 0 and self-loops are none, other weights play no part, repeated edges count as
        often as they are stored. None takes all other nodes (of the same graph) as neighbours.
    direction, batch, mask, chunk
        As in `dirichlet_energy`.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. A distance is |u_i - u_j|^2 / 2 of the unit vectors, which keeps its
        digits near collapse. The vector 0 has no direction: such nodes are no one's neighbours, and
        they and nodes without neighbours are not in the mean. NaN if no node is left, and for
        non-finite features.

    Raises
    ------
    ValueError
        As `dirichlet_energy`.

    Notes
    -----
    Chen et al., "Measuring and relieving the over-smoothing problem for graph neural networks from
    the topological view", arXiv:1909.03211, Eq. 1-4. There distances of exactly 0 are left out of
    both means; here two equal neighbours count, as the more smoothing the more of them there are.
    """
    if chunk is not None:
        check_count(chunk, "chunk", 1)
    none = torch.empty(2, 0, dtype=torch.int64, device="cpu")
    edges = none if edge_index is None else edge_index
    graph = as_graph(x, edges, direction=direction, batch=batch, mask=mask)
    unit, aimed = _directions(graph)
    if edge_index is None:
        distance = _to_all(graph, unit, aimed)
    else:
        distance = _to_neighbours(graph, unit, aimed, chunk)
    return graph.result(distance + graph.flaw())


def _directions(graph):
    """Unit vectors (V, d), 0 for the vector 0, and which nodes have one (V,)."""
    # Scaled before squaring, so that rows of 1e200 or 1e-200 have a norm.
    reach = graph.x.detach().abs().amax(1, keepdim=True).to(graph.weight.dtype)
    aimed = reach > 0
    near = graph.x / torch.where(aimed, reach, 1)
    norm = torch.where(aimed, near.square().sum(1, keepdim=True), 1).sqrt()
    return near / norm, aimed[:, 0]


def _to_neighbours(graph, unit, aimed, chunk):
    """Mean over nodes with neighbours of the mean distance to them: (graphs,)."""
    i, j = graph.edges
    counted = (i != j) & (graph.weight > 0) & aimed[i] & aimed[j]
    edges = graph.edges[:, counted]
    neighbours = torch.bincount(edges[0], minlength=graph.count).to(unit.dtype)
    share = squared_differences(unit, edges, chunk) / 2 / neighbours[edges[0]]
    total = replace(graph, edges=edges).by_edges(share)
    return total / graph.by_graph((neighbours > 0).to(unit.dtype))


def _to_all(graph, unit, aimed):
    """Mean over all pairs, as sum_ij |u_i - u_j|^2 = 2 n sum_i |u_i - mean|^2: (graphs,)."""
    one = aimed.to(unit.dtype)
    nodes = graph.by_graph(one)
    mean = graph.by_graph(unit) / nodes.clamp(min=1)[:, None]
    spread = graph.by_graph((unit - graph.to_nodes(mean)).square().sum(1) * one)
    return spread / (nodes - 1).clamp(min=0)
