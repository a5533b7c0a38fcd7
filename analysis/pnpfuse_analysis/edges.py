"""A graph as a list of edges: checks at the border, degrees, and the symmetric graph."""

from __future__ import annotations

from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from .samples import Array, as_tensor, widest

Direction = Literal["as_given", "union", "mutual"]


def as_nodes(x: Array) -> Tensor:
    """Return x as a tensor (V, d) in the widest real dtype, still attached to its graph."""
    nodes = as_tensor(x, "x")
    if nodes.ndim not in (1, 2) or 0 in nodes.shape or nodes.is_complex():
        raise ValueError(
            "x must hold real node features of shape (V, d) or (V,) with V, d >= 1, found "
            f"{nodes.dtype} of shape {tuple(nodes.shape)}"
        )
    # Widened before anything is gathered, so that gradients of many edges add up in it as well.
    nodes = nodes.to(widest(nodes.device))
    return nodes[:, None] if nodes.ndim == 1 else nodes


def _whole(value, name, shape, size, device):
    """A tensor of int64 whose entries lie in 0 ... size - 1."""
    found = as_tensor(value, name).to(device)
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise ValueError(f"{name} must hold whole numbers, found {found.dtype}; use .long()")
    found = found.to(torch.int64)
    if found.ndim != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, found.shape, strict=True)
    ):
        text = ", ".join("E" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have shape ({text}), found {tuple(found.shape)}")
    if found.numel():
        low, high = (int(end) for end in found.aminmax())
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} must lie in 0 ... {size - 1}, found values from {low} to {high}"
            )
    return found


def as_edges(edge_index: Tensor | NDArray[Any], nodes: Tensor) -> Tensor:
    """Return edge_index as a checked tensor of int64 (2, E) on the device of the nodes."""
    return _whole(edge_index, "edge_index", (2, None), nodes.shape[0], nodes.device)


def as_weight(edge_weight: Array | None, edges: Tensor, nodes: Tensor) -> Tensor:
    """Return the weights (E,) in the widest dtype; 1 for None."""
    dtype = widest(nodes.device)
    if edge_weight is None:
        return torch.ones(edges.shape[1], dtype=dtype, device=nodes.device)
    found = as_tensor(edge_weight, "edge_weight")
    if found.is_complex():
        raise ValueError(f"edge_weight must be real, found {found.dtype}; pass its .abs() or .real")
    weight = found.to(nodes.device, dtype)
    if weight.shape != edges.shape[1:]:
        raise ValueError(
            f"edge_weight must have shape ({edges.shape[1]},), one for each edge, "
            f"found {tuple(weight.shape)}"
        )
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise ValueError(
            "edge_weight must be finite and not negative, found other values; an energy of signed "
            "weights is the difference of two calls"
        )
    return weight


def as_batch(batch: Tensor | NDArray[Any] | None, edges: Tensor, nodes: Tensor) -> Tensor:
    """Return the graph of each node (V,), 0 for all if batch is None."""
    count = nodes.shape[0]
    if batch is None:
        return torch.zeros(count, dtype=torch.int64, device=nodes.device)
    # Numbers below V, so that no result is longer than the input.
    graph = _whole(batch, "batch", (count,), count, nodes.device)
    across = int((graph[edges[0]] != graph[edges[1]]).sum())
    if across:
        raise ValueError(
            "batch must give both ends of an edge the same graph, found "
            f"{across} of {edges.shape[1]} edges between graphs"
        )
    return graph


def degrees(edges: Tensor, weight: Tensor, count: int) -> Tensor:
    """Return the degrees of the symmetric part of the graph: (V,)."""
    ends = weight.new_zeros(count).index_add(0, edges[0], weight)
    return ends.index_add(0, edges[1], weight) / 2


def inverse_root(degree: Tensor) -> Tensor:
    """Return 1/sqrt(d), and 0 for isolated nodes: (V,)."""
    return torch.where(degree > 0, torch.where(degree > 0, degree, 1).rsqrt(), 0)


def symmetric_graph(
    edges: Tensor, weight: Tensor, count: int, direction: Direction
) -> tuple[Tensor, Tensor]:
    """Return edges and weights of max(W, W^T) ("union") or min(W, W^T) ("mutual")."""
    forth, back = edges[0] * count + edges[1], edges[1] * count + edges[0]
    keys, place = torch.unique(torch.cat((forth, back)), return_inverse=True)
    sums = weight.new_zeros(len(keys))
    there = sums.index_add(0, place[: len(forth)], weight)
    reverse = sums.index_add(0, place[len(forth) :], weight)
    choose = torch.maximum if direction == "union" else torch.minimum
    return torch.stack((keys // count, keys % count)), choose(there, reverse)
