"""Smoothness of features on a graph: neighbour graphs, Dirichlet energy, Rayleigh quotient."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine, nearest
from pnpfuse_analysis.samples import Array, as_samples, check_choice

from .differences import squared_differences
from .edges import Direction, as_graph, degrees, inverse_root
from .formats import GraphLike

Convention = Literal["scope", "edge_mean", "trace", "sym", "rw", "sqrt"]


def knn_graph(x: Array, k: int = 10, *, symmetric: bool = False, engine: Engine = "auto") -> Tensor:
    """Return the graph in which every sample points to its k nearest others.

    Parameters
    ----------
    x : Tensor or ndarray, shape (V, d) or (V,)
        Samples, compared by exact Euclidean distance in float64.
    k : int
        Neighbours of each sample; a sample is not its own neighbour.
    symmetric : bool
        Add the reverse of each edge that has none (the union, not the mutual graph).
    engine : {"auto", "kdtree", "compiled", "brute"}
        See `pnpfuse_analysis.neighbours.nearest`.

    Returns
    -------
    Tensor of int64, shape (2, E)
        Row 0 holds the source i, row 1 its neighbour j: an edge (i, j) says that j is among the k
        nearest of i. Sorted by i; then nearest first, or by j if symmetric. E = V k, or between
        V k and 2 V k if symmetric. On the device of x. (Libraries in which messages flow from row 0
        to row 1 may want `edge_index.flip(0)`.)

    Raises
    ------
    ValueError
        On a wrong shape, non-finite values, or k outside 1 ... V - 1.
    """
    samples = as_samples(x, "x", continuous=False)
    index = nearest(samples, k, engine=engine).indices
    nodes = index.shape[0]
    source = torch.arange(nodes, device=index.device).repeat_interleave(k)
    edges = torch.stack((source, index.flatten()))
    if not symmetric:
        return edges
    both = torch.cat((edges, edges.flip(0)), 1)
    keys = torch.unique(both[0] * nodes + both[1])
    return torch.stack((keys // nodes, keys % nodes))


def dirichlet_energy(
    x: Array,
    edge_index: GraphLike,
    edge_weight: Array | None = None,
    *,
    convention: Convention = "scope",
    direction: Direction = "as_given",
    batch: Tensor | NDArray[Any] | None = None,
    mask: Tensor | NDArray[Any] | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Return how much features differ along the edges of a graph.

    With the sum over directed edges e = (i, j) as stored, each once, of weight w_e, the conventions
    in use are

    ========== ============================================================================
    scope      1/V  sum_e w_e |x_i - x_j|^2                       (the default)
    sqrt       square root of scope
    edge_mean  sum_e w_e |x_i - x_j|^2 / sum_e w_e
    trace      1/2  sum_e w_e |x_i - x_j|^2  =  tr(X^T L X)
    sym        1/2  sum_e w_e |x_i / sqrt(d_i) - x_j / sqrt(d_j)|^2  =  tr(X^T L_sym X)
    rw         1/2  sum_e (w_e / o_i) |x_i - x_j|^2
    ========== ============================================================================

    V counts all nodes, isolated ones too. o_i = sum_j w_ij is the out-degree. L = D - S and
    L_sym = D^-1/2 L D^-1/2 belong to the symmetric part S = (W + W^T)/2 of the weights, with
    degrees d_i = sum_j S_ij (L_sym is 0 at isolated nodes). That makes both equalities exact on
    directed graphs too, where x^T (D_out - W) x is no sum of squares.

    An undirected graph is expected with both directions stored, as `knn_graph(..., symmetric=True)`
    has them: S = W then. With only one stored, scope and trace halve. If all its degrees are r,
    sym = rw = trace / r; if they differ, the sym energy of constant features is not 0. Self-loops
    add no difference, but count in degrees and in sum_e w_e. Repeated edges count as often as they
    are stored.

    All but sqrt grow with the square of the features' scale: read them next to `rayleigh_quotient`.

    Parameters
    ----------
    x : Tensor or ndarray, shape (V, d), (V,) or (B, V, d)
        Node features of any real dtype; with three axes B sets of them on the same graph. The
        result is differentiable in x and the weights.
    edge_index : Tensor or ndarray of whole numbers, shape (2, E); sparse matrix; or object
        Row 0 the source i, row 1 its neighbour j. Or a sparse matrix (V, V) of torch or SciPy, in
        which the entry (i, j) is the weight of the edge (i, j), or an object like PyTorch
        Geometric's `Data`, with an `edge_index` and perhaps `edge_weight` and `batch`.
    edge_weight : Tensor or ndarray, shape (E,), optional
        Non-negative weights; None for those of the graph, or 1 where it has none.
    convention : str
        As above.
    direction : {"as_given", "union", "mutual"}
        "as_given" takes the edges as stored. Otherwise W, in which repeated edges are added up, is
        replaced by the symmetric max(W, W^T) or min(W, W^T).
    batch : Tensor or ndarray of whole numbers, shape (V,), optional
        Graph 0 ... B - 1 that each node belongs to, B <= V; V and the sums are then per graph.
    mask : Tensor or ndarray of bool, shape (V,) or (B, V), optional
        True at the nodes that are there. The others leave V, and take their edges with them.
    chunk : int, optional
        Edges to a block; None fits the block to a byte budget. Memory is O(E + chunk d), also
        where a gradient is recorded, beyond the gradient itself; O(B E) for x of three axes; and
        O(V d) for a copy of x for sym. From 10^6 differences (E d) on, a CPU takes them in a
        compiled pass without blocks, and x in half precision is copied.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. Differences are taken before squaring, and in float64: features that
        have almost collapsed to one point, or to several, come out right. Non-finite features give
        NaN, at isolated nodes too. NaN also stands for 0/0: edge_mean where the weights sum to 0,
        and any mean over a graph number that no node has.

    Raises
    ------
    ValueError
        On wrong types, shapes or dtypes, node or graph numbers outside 0 ... V - 1, negative or
        non-finite weights, weights given twice, edges between graphs of a batch, a batch beside x
        of three axes, or an unknown convention or direction.

    References
    ----------
    Rusch, Bronstein and Mishra, "A survey on oversmoothing in graph neural networks",
    arXiv:2303.10993, for scope; Chung, "Spectral graph theory", ch. 1, for sym.
    """
    check_choice(convention, "convention", ("scope", "edge_mean", "trace", "sym", "rw", "sqrt"))
    graph = as_graph(x, edge_index, edge_weight, direction=direction, batch=batch, mask=mask)
    nodes, factor, scale = graph.x, graph.weight, 1
    if convention == "sym":
        nodes = nodes.to(factor.dtype) * inverse_root(degrees(graph))[:, None]
    elif convention == "sqrt":
        # The root of 1e-400 is a number again.
        scale = _square_scales(graph)
        nodes = nodes.to(factor.dtype) * graph.to_nodes(scale)[:, None]
    elif convention == "rw":
        out = factor.new_zeros(graph.count).index_add(0, graph.edges[0], factor)[graph.edges[0]]
        factor = factor / torch.where(out > 0, out, 1)
    total = graph.by_edges(squared_differences(nodes, graph.edges, chunk) * factor)
    # Isolated nodes are in no difference, but their NaN counts as well.
    total = total + graph.flaw()
    if convention in ("trace", "sym", "rw"):
        energy = total / 2
    elif convention == "edge_mean":
        energy = total / graph.by_edges(graph.weight)
    else:
        energy = total / torch.bincount(graph.owner, minlength=graph.graphs)
    return graph.result(_root(energy) / scale if convention == "sqrt" else energy)


def _root(energy):
    """Square root with the gradient 0 at 0, where the energy is flat and the root has a cusp."""
    still = energy == 0
    return torch.where(still, 0, torch.where(still, 1, energy).sqrt())


def rayleigh_quotient(
    x: Array,
    edge_index: GraphLike,
    edge_weight: Array | None = None,
    *,
    laplacian: Literal["comb", "sym"] = "comb",
    centre: bool = True,
    direction: Direction = "as_given",
    batch: Tensor | NDArray[Any] | None = None,
    mask: Tensor | NDArray[Any] | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Return the energy of features relative to their size: their mean graph frequency.

    R = tr(X^T L X) / tr(X^T X), with L = D - S ("comb") or L_sym = D^-1/2 L D^-1/2 ("sym") of the
    symmetric part S = (W + W^T)/2 of the graph; repeated edges add up. R lies between the extreme
    eigenvalues of the Laplacian, and does not change with the scale of the features.

    Parameters
    ----------
    x, edge_index, edge_weight, direction, batch, mask, chunk
        As in `dirichlet_energy`; an undirected graph has both directions stored.
    laplacian : {"comb", "sym"}
        Combinatorial or symmetrically normalised.
    centre : bool
        Take from X first what the Laplacian does not see anyway: the mean over all nodes ("comb"),
        or the part along sqrt(d_i) ("sym"), graph by graph. Without it a large offset makes any
        features look smooth.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. NaN where nothing is left of X, as 0/0 has no value (all nodes equal, or
        all along sqrt(d_i) for "sym"), and for non-finite features.

    Raises
    ------
    ValueError
        As `dirichlet_energy`, or on an unknown laplacian.
    """
    check_choice(laplacian, "laplacian", ("comb", "sym"))
    graph = as_graph(x, edge_index, edge_weight, direction=direction, batch=batch, mask=mask)
    # The quotient does not change, but squares of 1e200 would overflow.
    nodes = graph.x * graph.to_nodes(_square_scales(graph))[:, None]
    root, scaled = None, nodes
    if laplacian == "sym":
        degree = degrees(graph)
        root, scaled = degree.sqrt()[:, None], nodes * inverse_root(degree)[:, None]
    rest = _without_kernel(graph, nodes, root) if centre else nodes
    size = graph.by_graph(rest.square())
    if centre:
        # What is below the rounding of a column is nothing: 0/0 must not come out as a number.
        kept = size > (8 * torch.finfo(size.dtype).eps) ** 2 * graph.by_graph(nodes.square())
        size, scaled = torch.where(kept, size, 0), torch.where(graph.to_nodes(kept), scaled, 0)
    squares = squared_differences(scaled, graph.edges, chunk) * graph.weight
    return graph.result(graph.by_edges(squares) / 2 / size.sum(1))


def _without_kernel(graph, nodes, root):
    """Nodes less their part along root (V, 1), where the Laplacian is 0; None for ones: (V, d)."""
    ones = nodes.new_ones(graph.count, 1) if root is None else root
    total = graph.by_graph(ones.square())
    total = torch.where(total > 0, total, 1)
    # Twice: the first pass leaves the rounding of a large offset behind.
    for _ in range(2):
        along = nodes if root is None else root * nodes
        part = graph.to_nodes(graph.by_graph(along) / total)
        nodes = nodes - (part if root is None else root * part)
    return nodes


def _square_scales(graph):
    """Power of two for each graph that takes its features to where squares are safe: (graphs,).

    As `samples.square_scale`, but without a transfer to the CPU. NaN if a feature is not finite.
    """
    wide = graph.weight.dtype
    top = math.frexp(torch.finfo(wide).max)[1]
    lift = top // 2 - 32
    reach = graph.x.detach().abs().amax(1).to(wide)
    reach = graph.weight.new_zeros(graph.graphs).scatter_reduce(0, graph.owner, reach, "amax")
    reach = reach.clamp(min=2.0 ** (lift + 24 - top))
    # m / (m 2^e) is exactly 2^-e.
    return torch.frexp(reach).mantissa / reach * 2.0**lift
