"""Attention over the edges of a graph, and polynomials of it: stacking and diffusion (SCOPE 4.3).

Every way here to propagate features with one attention matrix A is a polynomial p(A) x. It turns a
mode of A with eigenvalue a into p(a) times that mode, and the forms differ in p alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_choice, check_count, check_number
from pnpfuse.fusion.precision import without_autocast
from pnpfuse.fusion.sparsity import Sparsity, by_row, inner_products, powers

FORMS = ("stack", "residual", "truncated", "renormalised", "iterated")
MASKS = {
    "neighbours": "softmax over the edges of each row, -inf elsewhere",
    "printed": "softmax(M * softmax(Q K^T / sqrt(d))) over all nodes, M = 1 on edges, else 0",
}

# Numbers in one block of rows of all pairs: memory stays O(N d) where no gradient is recorded.
_BLOCK_NUMBERS = 2**22


@dataclass(eq=False)
class Attention:
    """A row-stochastic matrix: weights on edges, and one weight a row for all nodes alike.

    Attributes
    ----------
    edges : Tensor of int64, shape (2, E)
        Row 0 the node i that attends, row 1 the node j attended to. Given in any order, and then
        put in that of i, with their weights.
    weight : Tensor, shape (E,)
        On each edge, besides `rest`.
    rest : Tensor, shape (N,), or None
        What row i gives to every node, neighbour or not; None for nothing: the mask "neighbours".
    sparsity : Sparsity, or None
        The edges once more, where they are in that order already.
    counted : Tensor of bool, shape (E,), or None
        Which are edges of the graph; None: all. The others fill places or lie outside it.
    """

    edges: Tensor
    weight: Tensor
    rest: Tensor | None = None
    sparsity: Sparsity = None  # type: ignore[assignment]
    counted: Tensor | None = None

    def __post_init__(self) -> None:
        if self.sparsity is None:
            if self.rest is None:
                raise ValueError("rest or sparsity must say how many nodes there are; found none")
            self.sparsity, entry = by_row(self.edges[0], self.edges[1], len(self.rest))
            self.edges, self.weight = self.sparsity.edges, self.weight[entry]
            self.counted = None if self.counted is None else self.counted[entry]

    @property
    def size(self) -> int:
        """N."""
        return self.sparsity.size

    def __matmul__(self, x: Tensor) -> Tensor:
        """A x for x (N, d), in O(E d)."""
        return self.powers(x, 1)[0]

    def powers(self, x: Tensor, steps: int) -> list[Tensor]:
        """A x, A^2 x, ... A^steps x for x (N, d), in O(steps E d)."""
        wide = x.to(torch.promote_types(x.dtype, self.weight.dtype))
        weight, sparsity = self.weight.to(wide), self.sparsity
        if self.rest is None:
            found = list(powers(weight, wide, sparsity, steps))
        else:
            found, rest = [], self.rest.to(wide)[:, None]
            for _ in range(steps):
                wide = powers(weight, wide, sparsity, 1)[0] + rest * wide.sum(0)  # (N, d)
                found.append(wide)
        return [y.to(x.dtype) for y in found] if x.is_floating_point() else found

    @property
    def row_sums(self) -> Tensor:
        """Sum of each row, (N,): 1, but 0 for a row that has no edge and no rest."""
        on_edges = self._sums(self.weight)
        return on_edges if self.rest is None else on_edges + self.size * self.rest

    @property
    def edge_mass(self) -> Tensor:
        """Share of the weight that lies on edges, mean over the rows, ()."""
        counted = torch.ones_like(self.weight) if self.counted is None else self.counted
        on_edges = self._sums(self.weight * counted)
        if self.rest is not None:
            on_edges = on_edges + self.rest * self._sums(counted.to(self.rest))
        return on_edges.mean()

    def dense(self) -> Tensor:
        """The matrix A, (N, N)."""
        matrix = self.weight.new_zeros(self.size, self.size)
        if self.rest is not None:
            matrix = matrix + self.rest[:, None]
        return matrix.index_put(tuple(self.edges), self.weight, accumulate=True)

    def _sums(self, numbers: Tensor) -> Tensor:
        return numbers.new_zeros(self.size).index_add(0, self.edges[0], numbers)


def attention(query: Tensor, key: Tensor, edges: Tensor, *, mask: str = "neighbours") -> Attention:
    """Scaled dot-product attention of every node over its neighbours.

    Parameters
    ----------
    query, key : Tensor, shape (N, d)
        Projections of the features; zeros give every neighbour the same weight. Half precision is
        widened to float32. Differentiable in both.
    edges : Tensor of int64, shape (2, E)
        (i, j) says that i may attend to j; none twice. Give every node a self-loop: a row without
        edges is a row of zeros.
    mask : {"neighbours", "printed"}
        "neighbours" is the softmax of Q K^T / sqrt(d) over the edges of each row, all else being
        masked with -inf: O(E d). "printed" is SCOPE's formula taken literally,
        softmax(M * softmax(Q K^T / sqrt(d))) over all nodes: a node that is masked enters with
        exp(0) = 1, a neighbour with at most e. O(N^2 d) to set up, O(E d) to apply.

    Returns
    -------
    Attention
        With its edges in the order of i.

    Raises
    ------
    ValueError
        On shapes that do not fit, or an unknown mask.

    References
    ----------
    SCOPE Sec. 4.3, "Structure-Aware Masked Attention".
    """
    check_choice("mask", mask, MASKS)
    if query.ndim != 2 or query.shape != key.shape or 0 in query.shape:
        raise ValueError(
            "query and key must both be (N, d) with N, d >= 1; found "
            f"{tuple(query.shape)} and {tuple(key.shape)}"
        )
    if edges.ndim != 2 or len(edges) != 2 or edges.dtype != torch.int64:
        raise ValueError(
            f"edges must be int64 (2, E); found {edges.dtype} of shape {tuple(edges.shape)}"
        )
    wide = torch.promote_types(query.dtype, torch.float32)
    query, key = query.to(wide) / math.sqrt(query.shape[1]), key.to(wide)
    sparsity, _ = by_row(edges[0], edges[1], len(query))
    edges, i = sparsity.edges, sparsity.rows
    logits = inner_products(query, key, sparsity)  # (E,)
    nothing = query.new_zeros(len(query))  # (N,)
    if mask == "neighbours":
        top = torch.full_like(nothing, -math.inf).scatter_reduce(0, i, logits.detach(), "amax")
        raised = (logits - top[i]).exp()  # (E,)
        return Attention(edges, raised / nothing.index_add(0, i, raised)[i], None, sparsity)
    rows = _blocks(len(query), len(query))
    with without_autocast(query):
        norm = torch.cat([(query[p] @ key.T).logsumexp(1) for p in rows])  # (N,)
    # What a neighbour has above exp(0) = 1. A share above 1 would be rounding, and may overflow.
    extra = (logits - norm[i]).clamp(max=0).exp().expm1()  # (E,)
    total = nothing.index_add(0, i, extra) + len(query)  # (N,)
    return Attention(edges, extra / total[i], 1 / total, sparsity)


def with_self_loops(edges: Tensor, nodes: int) -> Tensor:
    """Edges (2, E) without self-loops, and then one for each of the nodes: (2, E' + nodes)."""
    own = torch.arange(nodes, device=edges.device)
    return torch.cat((edges[:, edges[0] != edges[1]], own.expand(2, -1)), dim=1)


def coefficients(form: str, steps: int, xi: float = 0.3) -> list[float]:
    """c_0 ... c_T of the polynomial p(A) = sum_t c_t A^t by which a form propagates.

    With s_t = xi (1 - xi)^t:

    ============ ============================================================================
    stack        A^T: T layers h <- A h, GAT with one attention matrix for all of them
    residual     1 + sum_{t <= T} s_t A^t: SCOPE's update as printed, h <- h + A~ h
    truncated    sum_{t <= T} s_t A^t: without the residual; the weights sum to 1 - (1-xi)^(T+1)
    renormalised the same, divided by that sum
    iterated     z <- (1 - xi) A z + xi h from z = h, T times: what the sum leaves out goes to A^T
    ============ ============================================================================

    The last two start at h itself for T = 0 and have the same limit, sum_t s_t A^t.

    Parameters
    ----------
    form : one of the above
    steps : T, of at least 0
    xi : decay rate, 0 < xi < 1; without effect on "stack"

    Raises
    ------
    ValueError
        On another form, a negative or broken number of steps, or xi outside (0, 1).

    References
    ----------
    SCOPE Sec. 4.3, "Diffusion Attention". "iterated": Gasteiger, Bojchevski and Guennemann,
    "Predict then propagate", ICLR 2019, Eq. 4; with attention, Wang et al., "Multi-hop attention
    graph neural networks", IJCAI 2021.
    """
    check_choice("form", form, FORMS)
    steps = check_count("steps", steps, least=0)
    xi = check_number("xi", xi, most=1)
    if not 0 < xi < 1:
        raise ValueError(f"xi must lie between 0 and 1, both excluded; found {xi!r}")
    if form == "stack":
        return [0.0] * steps + [1.0]
    series = [xi * (1 - xi) ** t for t in range(steps + 1)]
    if form == "residual":
        series[0] += 1
    elif form == "renormalised":
        whole = -math.expm1((steps + 1) * math.log1p(-xi))
        series = [s / whole for s in series]
    elif form == "iterated":
        series[steps] = (1 - xi) ** steps
    return series


def propagate(
    x: Tensor, matrix: Attention, steps: int, *, form: str = "renormalised", xi: float = 0.3
) -> Tensor:
    """Features after T steps over one attention matrix: p(A) x.

    Parameters
    ----------
    x : Tensor, shape (N, d)
    matrix : Attention
        From `attention`, of N nodes.
    steps, form, xi
        As for `coefficients`.

    Returns
    -------
    Tensor, shape (N, d)
        Differentiable in x and in what the attention came from. O(T E d).

    Raises
    ------
    ValueError
        As `coefficients`, and for x of another shape.
    """
    weights = coefficients(form, steps, xi)
    if x.ndim != 2 or x.shape[0] != matrix.size:
        raise ValueError(f"x must be ({matrix.size}, d); found {tuple(x.shape)}")
    total = weights[0] * x
    for weight, power in zip(weights[1:], matrix.powers(x, steps), strict=True):
        total = total + weight * power
    return total


def _blocks(count: int, width: int) -> list[slice]:
    size = max(1, _BLOCK_NUMBERS // max(1, width))
    return [slice(start, start + size) for start in range(0, max(1, count), size)]
