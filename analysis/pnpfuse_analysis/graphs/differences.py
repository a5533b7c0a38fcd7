"""Squared differences along edges, compiled or a block of edges at a time, and their gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse_analysis.samples import check_count, widest

# Bytes that the differences of one block of edges may take: as much as a CPU's cache holds, more
# elsewhere.
_BLOCK_BYTES = {"cpu": 2**20}
_BLOCK_BYTES_ELSEWHERE = 2**27

# Differences from which the compiled pass pays on a CPU. Loading it takes half a second in a
# process, the blocks some 2 ms a call at this size; but calls come in hundreds, layer by layer and
# step by step, and the compiled ones take an eighth of the time.
_COMPILED_WORK = 10**6


def squared_differences(x: Tensor, edges: Tensor, chunk: int | None = None) -> Tensor:
    """Return |x_i - x_j|^2 of each edge (i, j) in the widest dtype: (E,).

    Nodes are gathered in their own dtype and widened before they are subtracted, which is exact.
    Memory is O(E + chunk d), with a gradient O(E + V d + chunk d), as backward gathers again. On a
    CPU much work is done by a compiled pass instead, in `torch.get_num_threads()` threads, which
    has no blocks: nodes in half precision are copied to float32 first, and views are laid out.

    Parameters
    ----------
    x : Tensor, shape (V, d)
    edges : Tensor of int64, shape (2, E)
    chunk : int or None
        Edges to a block; None fits the block to a byte budget.
    """
    if chunk is None:
        budget = _BLOCK_BYTES.get(x.device.type, _BLOCK_BYTES_ELSEWHERE)
        chunk = max(1, budget // (widest(x.device).itemsize * x.shape[1]))
    check_count(chunk, "chunk", 1)
    return _SquaredDifferences.apply(x, edges, chunk)


def _differences(x, edges):
    """x_i - x_j of a block of edges: (m, d)."""
    return x.index_select(0, edges[0]).to(widest(x.device)) - x.index_select(0, edges[1])


def _pays(x, edges):
    """Whether the compiled passes are for these edges."""
    return x.device.type == "cpu" and edges.shape[1] * x.shape[1] >= _COMPILED_WORK


def _nodes(x):
    """Nodes as the compiled passes take them: float32 or float64."""
    return _array(x if x.dtype == torch.float64 else x.to(torch.float32))


def _array(values):
    return values.contiguous().numpy(force=True)


class _SquaredDifferences(torch.autograd.Function):
    # Left to itself, autograd would keep all (E, d) differences, and add a (V, d) gradient for
    # each block.

    @staticmethod
    def forward(x, edges, chunk):
        if _pays(x, edges):
            from .edgewise import squares_along

            return torch.from_numpy(squares_along(_nodes(x), _array(edges)))
        squares = torch.empty(edges.shape[1], dtype=widest(x.device), device=x.device)
        for start in range(0, edges.shape[1], chunk):
            block = slice(start, start + chunk)
            squares[block] = _differences(x, edges[:, block]).square_().sum(1)
        return squares

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, edges, ctx.chunk = inputs
        ctx.save_for_backward(x, edges)

    @staticmethod
    def backward(ctx, grad):
        x, edges = ctx.saved_tensors
        # A second derivative needs steps that torch can record.
        if _pays(x, edges) and not torch.is_grad_enabled():
            from .edgewise import slopes_along

            slope = torch.from_numpy(slopes_along(_nodes(x), _array(edges), _array(2 * grad)))
            return slope.to(x.dtype), None, None
        # Many edges meet in a hub: they add up before they are rounded.
        slope = torch.zeros(x.shape, dtype=grad.dtype, device=x.device)
        for start in range(0, edges.shape[1], ctx.chunk):
            block = edges[:, start : start + ctx.chunk]
            pull = _differences(x, block) * (2 * grad[start : start + ctx.chunk, None])
            slope.index_add_(0, block.flatten(), torch.cat((pull, -pull)))
        return slope.to(x.dtype), None, None
