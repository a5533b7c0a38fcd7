"""A graph and the features on its nodes, checked at the border; degrees, symmetric graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from pnpfuse_analysis.samples import Array, as_tensor, check_choice, widest

from .formats import GraphLike, edge_list

Direction = Literal["as_given", "union", "mutual"]

# Dtypes in which features stay until two of them are subtracted; others are widened at once.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Graph:
    """Features on the nodes of one graph, or of several side by side.

    Attributes
    ----------
    x : Tensor, shape (V, d)
        Features in the dtype in which they were stored, still attached to their graph.
    edges : Tensor of int64, shape (2, E)
        Row 0 the source i, row 1 its neighbour j.
    weight : Tensor, shape (E,)
        In the widest dtype, finite and not negative.
    owner : Tensor of int64, shape (V,)
        Graph that each node belongs to.
    graphs : int
        How many graphs there are.
    single : bool
        Whether one graph was meant, so that results are ().
    """

    x: Tensor
    edges: Tensor
    weight: Tensor
    owner: Tensor
    graphs: int
    single: bool

    @property
    def count(self) -> int:
        """Number of nodes in all graphs."""
        return self.x.shape[0]

    def by_graph(self, values: Tensor) -> Tensor:
        """Sum values of the nodes (V, ...) over each graph: (graphs, ...)."""
        if self.graphs == 1:
            return values.sum(0, keepdim=True)
        return values.new_zeros(self.graphs, *values.shape[1:]).index_add(0, self.owner, values)

    def by_edges(self, values: Tensor) -> Tensor:
        """Sum values of the edges (E,) over each graph: (graphs,)."""
        if self.graphs == 1:
            return values.sum(0, keepdim=True)
        return values.new_zeros(self.graphs).index_add(0, self.owner[self.edges[0]], values)

    def to_nodes(self, values: Tensor) -> Tensor:
        """Hand values of the graphs (graphs, ...) to their nodes: (V, ...), or (1, ...) for one."""
        return values if self.graphs == 1 else values[self.owner]

    def flaw(self) -> Tensor:
        """Return 0 for each graph, NaN where a feature is not finite: (graphs,)."""
        x = self.x.detach()
        return self.by_graph((x.amin(1) * 0 + x.amax(1) * 0).to(self.weight.dtype))

    def result(self, values: Tensor) -> Tensor:
        """Return values (graphs,) in the shape that the caller expects."""
        return values[0] if self.single else values


def as_graph(
    x: Array,
    edge_index: GraphLike,
    edge_weight: Array | None = None,
    *,
    direction: Direction = "as_given",
    batch: Tensor | NDArray[Any] | None = None,
    mask: Tensor | NDArray[Any] | None = None,
) -> Graph:
    """Return features and graph, checked, on the device of x.

    Parameters
    ----------
    x : Tensor or ndarray, shape (V, d), (V,) or (B, V, d)
        Three axes are B sets of features on the same graph, taken as B graphs.
    edge_index, edge_weight
        Any form of `graph_formats.edge_list`.
    direction : {"as_given", "union", "mutual"}
        Take the edges as stored, or the symmetric max(W, W^T) or min(W, W^T).
    batch : Tensor or ndarray of whole numbers, shape (V,), optional
        Graph that each node belongs to; not with x of three axes.
    mask : Tensor or ndarray of bool, shape (V,) or (B, V), optional
        Nodes that are there; the others go, with their edges.

    Raises
    ------
    ValueError
        Naming the argument that is not so.
    """
    check_choice(direction, "direction", ("as_given", "union", "mutual"))
    nodes = _as_nodes(x)
    count = nodes.shape[-2]
    found = edge_list(edge_index, edge_weight, count)
    edges = _whole(found.index, "edge_index", (2, None), count, nodes.device)
    weight = _as_weight(found.weight, edges.shape[1], nodes.device)
    if direction != "as_given":
        edges, weight = symmetric_graph(edges, weight, count, direction)
    batch = found.batch if batch is None else batch
    if nodes.ndim == 3:
        graph = _side_by_side(nodes, edges, weight, batch)
    else:
        owner = _as_owner(batch, edges, nodes)
        graphs = 1 if batch is None else int(owner.max()) + 1
        graph = Graph(nodes, edges, weight, owner, graphs, batch is None)
    return graph if mask is None else _without(graph, mask, nodes.shape[:-1])


def _as_nodes(x):
    """Features (V, d) or (B, V, d)."""
    nodes = as_tensor(x, "x")
    if nodes.ndim not in (1, 2, 3) or 0 in nodes.shape or nodes.is_complex():
        raise ValueError(
            "x must hold real node features of shape (V, d), (V,) or (B, V, d) with B, V, d >= 1, "
            f"found {nodes.dtype} of shape {tuple(nodes.shape)}"
        )
    if nodes.dtype not in _FLOATS:
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


def _as_weight(edge_weight, count, device):
    """Weights (E,) in the widest dtype; 1 for None."""
    if edge_weight is None:
        return torch.ones((), dtype=widest(device), device=device).expand(count)
    found = as_tensor(edge_weight, "edge_weight")
    if found.is_complex():
        raise ValueError(f"edge_weight must be real, found {found.dtype}; pass its .abs() or .real")
    weight = found.to(device, widest(device))
    if weight.shape != (count,):
        raise ValueError(
            f"edge_weight must have shape ({count},), one for each edge, "
            f"found {tuple(weight.shape)}"
        )
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise ValueError(
            "edge_weight must be finite and not negative, found other values; an energy of signed "
            "weights is the difference of two calls"
        )
    return weight


def _as_owner(batch, edges, nodes):
    """The graph of each node (V,), 0 for all if batch is None."""
    count = nodes.shape[0]
    if batch is None:
        return torch.zeros(count, dtype=torch.int64, device=nodes.device)
    # Numbers below V, so that no result is longer than the input.
    owner = _whole(batch, "batch", (count,), count, nodes.device)
    across = int((owner[edges[0]] != owner[edges[1]]).sum())
    if across:
        raise ValueError(
            "batch must give both ends of an edge the same graph, found "
            f"{across} of {edges.shape[1]} edges between graphs"
        )
    return owner


def _side_by_side(nodes, edges, weight, batch):
    """B copies of a graph, each with its own features (B, V, d)."""
    if batch is not None:
        raise ValueError(
            "batch must be None for x of shape (B, V, d), whose first axis counts the graphs, "
            f"found one beside x of shape {tuple(nodes.shape)}"
        )
    sets, count, _ = nodes.shape
    number = torch.arange(sets, device=nodes.device)
    copies = edges[:, None, :] + count * number[:, None]  # (2, B, E)
    return Graph(
        x=nodes.flatten(0, 1),
        edges=copies.flatten(1),
        weight=weight.repeat(sets),
        owner=number.repeat_interleave(count),
        graphs=sets,
        single=False,
    )


def _without(graph, mask, shape):
    """The graph without the nodes that the mask leaves out, renumbered."""
    there = as_tensor(mask, "mask").to(graph.x.device)
    if there.dtype != torch.bool or there.shape != shape:
        raise ValueError(
            f"mask must be boolean of shape {tuple(shape)}, True where a node is there, found "
            f"{there.dtype} of shape {tuple(there.shape)}"
        )
    there = there.flatten()
    number = there.cumsum(0) - 1
    kept = there[graph.edges].all(0)
    return replace(
        graph,
        x=graph.x[there],
        edges=number[graph.edges[:, kept]],
        weight=graph.weight[kept],
        owner=graph.owner[there],
    )


def degrees(graph: Graph) -> Tensor:
    """Return the degrees of the symmetric part of the graph: (V,)."""
    ends = graph.weight.new_zeros(graph.count).index_add(0, graph.edges[0], graph.weight)
    return ends.index_add(0, graph.edges[1], graph.weight) / 2


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
