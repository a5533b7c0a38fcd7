"""Compiled passes over the edges of a graph, one edge at a time and nothing kept of it."""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from pnpfuse_analysis.compiled import jit, share_out

BAND = 16  # columns that one thread adds up: two lines of a cache
AHEAD = 8  # edges between asking for nodes and needing them


@intrinsic
def _ask(typing, address):
    """Have the memory at an address on its way to the cache; any address will do."""

    def emit(context, builder, signature, args):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, keep, data = word(0), word(3), word(1)
        builder.call(fetch, [builder.inttoptr(args[0], byte), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.intp), emit


if config.DISABLE_JIT:  # type: ignore[attr-defined]  # plain Python has nothing to ask for
    _ask = int  # type: ignore[assignment]


# The order of the sum is free, so that eight terms add up at once, four times as fast. Nothing else
# in the loop can be reordered: differences come first, and NaN and infinity stay what they are.
@jit(fastmath={"reassoc"})
def _add_squares(x, i, j, squares, first, last):
    start, row = x.ctypes.data, x.itemsize * x.shape[1]
    for e in range(first, last):
        # Nodes lie anywhere. Where they are not in the cache, this halves the time; the machine
        # itself sees that the rest of a row follows its start.
        later = min(e + AHEAD, last - 1)
        _ask(start + i[later] * row)
        _ask(start + j[later] * row)
        here, there, total = x[i[e]], x[j[e]], 0.0
        for t in range(len(here)):
            step = np.float64(here[t]) - there[t]
            total += step * step
        squares[e] = total


@jit
def _add_slopes(x, i, j, weight, slope, low, high):
    for e in range(len(i)):
        here, there = x[i[e], low:high], x[j[e], low:high]
        up, down = slope[i[e], low:high], slope[j[e], low:high]
        for t in range(len(here)):
            pull = weight[e] * (np.float64(here[t]) - there[t])
            up[t] += pull
            down[t] -= pull


def squares_along(x, edges):
    """Return |x_i - x_j|^2 of each edge (2, E) of nodes (V, d) in float32 or float64: (E,)."""
    squares = np.empty(edges.shape[1])
    share_out(len(squares), lambda a, b: _add_squares(x, *edges, squares, a, b))
    return squares


def slopes_along(x, edges, weight):
    """Return the gradient in x of half the sum of weight (E,) times these squares: (V, d)."""
    slope = np.zeros(x.shape)
    d = x.shape[1]

    # Edges meet in nodes, but no two columns do: the sum is the same in any number of threads.
    def add(first, last):
        _add_slopes(x, *edges, weight, slope, first * BAND, min(last * BAND, d))

    share_out(-(-d // BAND), add)
    return slope
