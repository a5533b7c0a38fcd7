"""Exact nearest neighbours and ball counts: a KD-tree, compiled blocks, or all pairs in torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from .samples import check_choice, check_count, square_scale

Engine = Literal["auto", "kdtree", "compiled", "brute"]
Metric = Literal["l2", "max"]

ENGINES = ("auto", "kdtree", "compiled", "brute")
_ORDER = {"l2": 2.0, "max": float("inf")}

# Coordinate differences N * N * d from which the compiled engine pays: loading it takes half a
# second in a process, the others then some 10 ms a call, and calls come in hundreds for an interval
# or a null. At this size it is already 2 (d = 2) to 6 times (d = 32) as fast, and grows slower.
_COMPILED_WORK = 1e7
# Its lists of neighbours are kept in order by insertion.
_COMPILED_NEIGHBOURS = 64
# Below that work SciPy's KD-tree beats all pairs up to about this many dimensions.
_KDTREE_DIMENSIONS = 4

# Bytes that a block of pairs may take: a CPU's cache, and enough work for an accelerator.
_BLOCK_BYTES = {"cpu": 2 * 2**20}
_BLOCK_BYTES_ELSEWHERE = 256 * 2**20


class Neighbours(NamedTuple):
    """The k nearest other samples of each sample, nearest first.

    Attributes
    ----------
    distances : Tensor, shape (N, k)
        Distances; the last column is the k-th neighbour's.
    indices : Tensor of int64, shape (N, k)
        Which samples they are; among equal distances the order is arbitrary.
    """

    distances: Tensor
    indices: Tensor


def choose_engine(engine: Engine, x: Tensor, k: int = 1) -> Engine:
    """Return "kdtree", "compiled" or "brute" for the k neighbours of samples x (N, d).

    On a CPU "auto" takes the compiled engine where there is work enough, for less of it the KD-tree
    up to 4 dimensions and brute force beyond. On any other device it takes brute force, which needs
    no copy to the CPU; where that would still pay has not been measured.
    """
    check_choice(engine, "engine", ENGINES)
    if engine != "auto":
        return engine
    n, d = x.shape
    if x.device.type != "cpu":
        return "brute"
    if n * n * d >= _COMPILED_WORK and k <= _COMPILED_NEIGHBOURS:
        return "compiled"
    return "kdtree" if d <= _KDTREE_DIMENSIONS else "brute"


def nearest(
    x: Tensor, k: int, *, metric: Metric = "l2", engine: Engine = "auto", chunk: int | None = None
) -> Neighbours:
    """Return the k nearest other samples of each sample.

    All engines subtract before they square; |x|^2 - 2xy + |y|^2 would lose all digits of near ones.

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Real finite samples in float64.
    k : int
        Number of neighbours, 1 <= k < N. A sample is not its own neighbour, its copies are.
    metric : {"l2", "max"}
        Euclidean distance or the largest coordinate difference.
    engine : {"auto", "kdtree", "compiled", "brute"}
        "kdtree" is SciPy's. "compiled" is a k-d partition into blocks that meet all lanes at once,
        in Numba: compiled once in an installation (seconds), then loaded once in a process (tenths
        of a second). Both work on the CPU, in `torch.get_num_threads()` threads, and bring
        their result back to the device of x. "brute" is torch on any device, one block of pairs at
        a time, and no (chunk, N, d) tensor.
    chunk : int or None
        Rows to a block of "brute"; None fits the block to a byte budget.

    Raises
    ------
    ValueError
        If k is not between 1 and N - 1, or metric, engine or chunk are not as above.
    """
    n = x.shape[0]
    check_choice(metric, "metric", tuple(_ORDER))
    check_count(k, "k", 1)
    if k >= n:
        raise ValueError(f"k must be below the number of samples, found k={k} and N={n}")
    x = x.detach()
    # Coordinates of 1e200 or 1e-200 must survive squaring. Constant ones have no part in distances.
    low, high = x.amin(0), x.amax(0)
    scale = square_scale((high / 2 - low / 2).amax())
    points = torch.where(high > low, x, 0) * scale
    chosen = choose_engine(engine, x, k)
    if chosen == "brute":
        found = _nearest_by_blocks(points, k, metric, chunk)
    else:
        search = _nearest_by_tree if chosen == "kdtree" else _nearest_compiled
        distance, index = (torch.from_numpy(part) for part in search(_array(points), k, metric))
        found = Neighbours(distance.to(x), index.to(x.device, torch.int64))
    return Neighbours(found.distances / scale, found.indices)


def count_within(
    x: Tensor,
    radius: Tensor,
    *,
    engine: Engine = "auto",
    chunk: int | None = None,
) -> Tensor:
    """Return how many other samples lie strictly nearer to each sample than its radius.

    Distance is the largest coordinate difference, in which a distance is one exact subtraction
    and "strictly" has a meaning down to the last bit: all engines count the same.

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Real finite samples in float64.
    radius : Tensor, shape (N,)
        Radius of the open ball around each sample; at radius 0 it is empty.
    engine, chunk
        As in `nearest`; in one dimension sorting is enough, whatever the engine.

    Returns
    -------
    Tensor of int64, shape (N,)

    Raises
    ------
    ValueError
        If radius has another shape, or engine or chunk are not as above.
    """
    if radius.shape != x.shape[:1]:
        raise ValueError(
            f"radius must have shape ({x.shape[0]},), one for each sample, "
            f"found {tuple(radius.shape)}"
        )
    x, radius = x.detach(), radius.detach()
    chosen = choose_engine(engine, x)
    if x.shape[1] == 1:
        return _count_sorted(x[:, 0], radius)
    if chosen == "brute":
        count = torch.empty(x.shape[0], dtype=torch.int64, device=x.device)
        for rows, block in _blocks(x, "max", chunk):
            count[rows] = (block < radius[rows, None]).sum(1)
        return count
    search = _count_by_tree if chosen == "kdtree" else _count_compiled
    return torch.from_numpy(search(_array(x), _array(radius))).to(x.device, torch.int64)


def _array(x):
    return x.cpu().to(torch.float64).numpy()


def _blocks(x, metric, chunk):
    """Yield (slice of rows, their distances (m, N) to all samples, infinite to themselves).

    A block is good until the next one is asked for.
    """
    n = x.shape[0]
    if chunk is None:
        budget = _BLOCK_BYTES.get(x.device.type, _BLOCK_BYTES_ELSEWHERE)
        # Two blocks of numbers and what topk or a comparison makes of one.
        chunk = min(n, max(1, budget // (3 * n * x.element_size())))
    check_count(chunk, "chunk", 1)
    columns = x.T.contiguous()
    far, step = x.new_empty((2, min(chunk, n), n))
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        block, gap = far[: rows.stop - start].zero_(), step[: rows.stop - start]
        for column in columns:
            torch.sub(column[rows, None], column, out=gap)
            if metric == "max":
                torch.maximum(block, gap.abs_(), out=block)
            else:
                block.addcmul_(gap, gap)
        if metric == "l2":
            block.sqrt_()
        block.diagonal(start).fill_(float("inf"))
        yield rows, block


def _nearest_by_blocks(x, k, metric, chunk):
    distance = x.new_empty((x.shape[0], k))
    index = torch.empty(distance.shape, dtype=torch.int64, device=x.device)
    for rows, block in _blocks(x, metric, chunk):
        distance[rows], index[rows] = block.topk(k, dim=1, largest=False)
    return Neighbours(distance, index)


def _count_sorted(x, radius):
    """Counts for samples (N,): the differences, as rounded, grow with the place in the order."""
    values, order = x.sort()
    reach = radius[order]
    later = _later_within(values, reach)
    earlier = _later_within(-values.flip(0), reach.flip(0)).flip(0)
    return torch.empty_like(order).index_copy_(0, order, later + earlier)


def _later_within(values, reach):
    """How many later ones of ascending values (N,) lie nearer than reach (N,)."""
    n = len(values)
    here = torch.arange(n, device=values.device)

    def near(place):
        return values[place.clamp(max=n - 1)] - values < reach

    # Sums round otherwise than differences: they give a bracket, which bisection narrows.
    slack = 4 * torch.finfo(values.dtype).eps * (values.abs() + reach)
    inside = torch.searchsorted(values, values + (reach - slack)) - 1
    outside = torch.searchsorted(values, values + (reach + slack), right=True)
    inside = torch.where(near(inside.clamp(min=0)), torch.maximum(inside, here), here)
    outside = torch.where(near(outside), n, outside)
    for _ in range(int((outside - inside).amax()).bit_length()):
        middle = (inside + outside) // 2
        within = near(middle)
        inside, outside = torch.where(within, middle, inside), torch.where(within, outside, middle)
    return inside - here


def _nearest_by_tree(x, k, metric):
    n = len(x)
    found, index = cKDTree(x).query(x, k + 1, p=_ORDER[metric], workers=torch.get_num_threads())
    # The sample itself is not always first, and behind k copies of it not even on the list: then
    # the last of k + 1 equal entries goes.
    own = index == np.arange(n)[:, None]
    own[:, -1] |= ~own.any(1)
    return found[~own].reshape(n, k), index[~own].reshape(n, k)


def _count_by_tree(x, radius):
    # SciPy's ball is closed: the next smaller radius makes it open.
    count = cKDTree(x).query_ball_point(
        x,
        np.nextafter(radius, 0),
        p=_ORDER["max"],
        workers=torch.get_num_threads(),
        return_length=True,
    )
    return np.where(radius > 0, count - 1, 0)


def _nearest_compiled(x, k, metric):
    from .compiled import share_out
    from .pairs import nearest_in, partition

    tree = partition(np.ascontiguousarray(x.T))
    distance, index = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
    square = metric == "l2"
    share_out(len(tree[1]), lambda a, b: nearest_in(tree, a, b, square, distance, index))
    return np.sqrt(distance) if square else distance, index


def _count_compiled(x, radius):
    from .compiled import share_out
    from .pairs import count_in, partition

    tree = partition(np.ascontiguousarray(x.T))
    count = np.empty(len(x), np.int64)
    share_out(len(tree[1]), lambda a, b: count_in(tree, a, b, radius, count))
    return count
