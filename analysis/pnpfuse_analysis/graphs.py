"""Smoothness of features on a graph: neighbour graphs, Dirichlet energy, Rayleigh quotient."""

from __future__ import annotations

from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from .edges import (
    Direction,
    as_batch,
    as_edges,
    as_nodes,
    as_weight,
    degrees,
    inverse_root,
    symmetric_graph,
)
from .neighbours import Engine, nearest
from .samples import Array, as_samples, check_choice, check_count, square_scale

Convention = Literal["scope", "edge_mean", "trace", "sym", "rw", "sqrt"]

# Numbers in one block of edge differences: as much as a CPU's cache holds, more elsewhere.
_BLOCK_NUMBERS = {"cpu": 2**17}
_BLOCK_NUMBERS_ELSEWHERE = 2**24


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
    engine : {"auto", "kdtree", "brute"}
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
    edge_index: Tensor | NDArray[Any],
    edge_weight: Array | None = None,
    *,
    convention: Convention = "scope",
    direction: Direction = "as_given",
    batch: Tensor | NDArray[Any] | None = None,
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
    x : Tensor or ndarray, shape (V, d) or (V,)
        Node features of any real dtype. The result is differentiable in x and edge_weight.
    edge_index : Tensor or ndarray of whole numbers, shape (2, E)
        Row 0 the source i, row 1 its neighbour j.
    edge_weight : Tensor or ndarray, shape (E,), optional
        Non-negative weights; None for 1.
    convention : str
        As above.
    direction : {"as_given", "union", "mutual"}
        "as_given" takes the edges as stored. Otherwise W, in which repeated edges are added up, is
        replaced by the symmetric max(W, W^T) or min(W, W^T).
    batch : Tensor or ndarray of whole numbers, shape (V,), optional
        Graph 0 ... B - 1 that each node belongs to, B <= V; V and the sums are then per graph.
    chunk : int, optional
        Edges to a block; None fits the block to the machine. Beyond a copy of x, memory is
        O(chunk d), but O(E d) where a gradient is recorded.

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
        non-finite weights, edges between graphs of a batch, or an unknown convention or direction.

    References
    ----------
    Rusch, Bronstein and Mishra, "A survey on oversmoothing in graph neural networks",
    arXiv:2303.10993, for scope; Chung, "Spectral graph theory", ch. 1, for sym.
    """
    check_choice(convention, "convention", ("scope", "edge_mean", "trace", "sym", "rw", "sqrt"))
    check_choice(direction, "direction", ("as_given", "union", "mutual"))
    nodes = as_nodes(x)
    edges = as_edges(edge_index, nodes)
    weight = as_weight(edge_weight, edges, nodes)
    count = nodes.shape[0]
    if direction != "as_given":
        edges, weight = symmetric_graph(edges, weight, count, direction)
    graph = as_batch(batch, edges, nodes)
    graphs = 1 if batch is None else int(graph.max()) + 1
    # Isolated nodes are in no difference, but their NaN counts as well.
    flaw = torch.where(torch.isfinite(nodes).all(1), 0.0, torch.nan).to(nodes)

    factor = weight
    if convention == "sym":
        nodes = nodes * inverse_root(degrees(edges, weight, count))[:, None]
    elif convention == "rw":
        out = weight.new_zeros(count).index_add(0, edges[0], weight)[edges[0]]
        factor = weight / torch.where(out > 0, out, 1)
    total = _edge_sum(nodes, edges, factor, graph, graphs, chunk).index_add(0, graph, flaw)
    if convention in ("trace", "sym", "rw"):
        energy = total / 2
    elif convention == "edge_mean":
        energy = total / total.new_zeros(graphs).index_add(0, graph[edges[0]], weight)
    else:
        energy = total / torch.bincount(graph, minlength=graphs)
        if convention == "sqrt":
            # The root has no finite slope at 0, where the energy is flat anyway: gradient 0 there.
            still = energy == 0
            energy = torch.where(still, 0, torch.where(still, 1, energy).sqrt())
    return energy[0] if batch is None else energy


def rayleigh_quotient(
    x: Array,
    edge_index: Tensor | NDArray[Any],
    *,
    laplacian: Literal["comb", "sym"] = "comb",
    centre: bool = True,
) -> Tensor:
    """Return the energy of features relative to their size: their mean graph frequency.

    R = tr(X^T L X) / tr(X^T X), with L = D - S ("comb") or L_sym = D^-1/2 L D^-1/2 ("sym") of the
    symmetric part S = (W + W^T)/2 of the graph; repeated edges add up. R lies between the extreme
    eigenvalues of the Laplacian, and does not change with the scale of the features.

    Parameters
    ----------
    x : Tensor or ndarray, shape (V, d) or (V,)
        Node features of any real dtype. The result is differentiable in x.
    edge_index : Tensor or ndarray of whole numbers, shape (2, E)
        As in `dirichlet_energy`; an undirected graph has both directions stored.
    laplacian : {"comb", "sym"}
        Combinatorial or symmetrically normalised.
    centre : bool
        Take from X first what the Laplacian does not see anyway: the mean over all nodes ("comb"),
        or the part along sqrt(d_i) ("sym"). Without it a large offset makes any features look
        smooth.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape ()
        On the device of x. NaN where nothing is left of X, as 0/0 has no value (all nodes equal, or
        all along sqrt(d_i) for "sym"), and for non-finite features.

    Raises
    ------
    ValueError
        On wrong types, shapes or dtypes, node numbers outside 0 ... V - 1, or an unknown laplacian.
    """
    check_choice(laplacian, "laplacian", ("comb", "sym"))
    nodes = as_nodes(x)
    # The quotient does not change, but squares of 1e200 would overflow; NaN if any feature is not
    # finite.
    nodes = nodes * square_scale(nodes.abs().amax())
    edges = as_edges(edge_index, nodes)
    weight = as_weight(None, edges, nodes)
    kernel, scaled = torch.ones_like(nodes[:, :1]), nodes
    if laplacian == "sym":
        degree = degrees(edges, weight, nodes.shape[0])
        kernel, scaled = degree.sqrt()[:, None], nodes * inverse_root(degree)[:, None]
    graph = as_batch(None, edges, nodes)
    rest = nodes
    if centre:
        # Twice: the first pass leaves the rounding of a large offset behind.
        for _ in range(2):
            rest = rest - kernel * ((kernel * rest).sum(0) / kernel.square().sum().clamp(min=1))
        # What is below the rounding of a column is nothing: 0/0 must not come out as a number.
        floor = (8 * torch.finfo(rest.dtype).eps) ** 2 * nodes.square().sum(0)
        kept = rest.square().sum(0) > floor
        rest, scaled = torch.where(kept, rest, 0), torch.where(kept, scaled, 0)
    energy = _edge_sum(scaled, edges, weight, graph, 1, None)[0] / 2
    return energy / rest.square().sum()


def _edge_sum(x, edges, weight, graph, graphs, chunk):
    """Sum over edges of w |x_i - x_j|^2 by the source's graph: (graphs,)."""
    if chunk is None:
        numbers = _BLOCK_NUMBERS.get(x.device.type, _BLOCK_NUMBERS_ELSEWHERE)
        chunk = max(1, numbers // x.shape[1])
    check_count(chunk, "chunk", 1)
    total = weight.new_zeros(graphs)
    for start in range(0, edges.shape[1], chunk):
        i, j = edges[:, start : start + chunk]
        apart = x.index_select(0, i) - x.index_select(0, j)
        square = apart.square().sum(1) * weight[start : start + chunk]
        if graphs == 1:
            total = total + square.sum()
        else:
            total = total.index_add(0, graph[i], square)
    return total
