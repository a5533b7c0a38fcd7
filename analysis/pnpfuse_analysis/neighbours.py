"""Exact nearest neighbours and ball counts: SciPy's KD-tree, or brute force on any device."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from .samples import check_choice, check_count, square_scale

Engine = Literal["auto", "kdtree", "brute"]
Metric = Literal["l2", "max"]

_ORDER = {"l2": 2.0, "max": float("inf")}

# Up to about this many dimensions a KD-tree prunes enough to beat all pairs on a CPU: 28 times
# faster at N = 10000, d = 2, and 5 times slower at d = 32.
_KDTREE_DIMENSIONS = 8

# Bytes that one block of pair distances may take. Small blocks stay in a CPU's cache; an
# accelerator wants large ones.
_BLOCK_BYTES = {"cpu": 8 * 2**20}
_BLOCK_BYTES_ELSEWHERE = 512 * 2**20


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


def choose_engine(engine: Engine, x: Tensor) -> Engine:
    """Return "kdtree" or "brute" for samples x of shape (N, d).

    "auto" takes the KD-tree on a CPU up to 8 dimensions, and brute force elsewhere.
    """
    check_choice(engine, "engine", ("auto", "kdtree", "brute"))
    if engine != "auto":
        return engine
    few = x.shape[1] <= _KDTREE_DIMENSIONS
    return "kdtree" if few and x.device.type == "cpu" else "brute"


def nearest(
    x: Tensor, k: int, *, metric: Metric = "l2", engine: Engine = "auto", chunk: int | None = None
) -> Neighbours:
    """Return the k nearest other samples of each sample.

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Real finite samples in float64.
    k : int
        Number of neighbours, 1 <= k < N. A sample is not its own neighbour, its copies are.
    metric : {"l2", "max"}
        Euclidean distance or the largest coordinate difference.
    engine : {"auto", "kdtree", "brute"}
        "kdtree" works on the CPU and brings its result back to the device of x; "brute" holds one
        (chunk, N) block of distances at a time, and no (chunk, N, d) tensor. Both take differences
        before they square: the expansion |x|^2 - 2xy + |y|^2 loses all digits of near neighbours.
    chunk : int or None
        Rows to a block; None fits the block to a byte budget.

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
    # Coordinates of 1e200 or 1e-200 must survive squaring. Constant ones have no part in distances.
    low, high = x.amin(0), x.amax(0)
    scale = square_scale((high / 2 - low / 2).amax())
    points = torch.where(high > low, x, 0) * scale
    if choose_engine(engine, x) == "kdtree":
        found = _nearest_by_tree(points, k, metric)
    else:
        found = _nearest_by_blocks(points, k, metric, chunk)
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
    and "strictly" has a meaning down to the last bit.

    Parameters
    ----------
    x : Tensor, shape (N, d)
        Real finite samples in float64.
    radius : Tensor, shape (N,)
        Radius of the open ball around each sample; at radius 0 it is empty.
    engine, chunk
        As in `nearest`.

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
    if choose_engine(engine, x) == "kdtree":
        return _count_by_tree(x, radius)
    count = torch.empty(x.shape[0], dtype=torch.int64, device=x.device)
    for rows, block in _blocks(x, "max", chunk):
        count[rows] = (block < radius[rows, None]).sum(1)
    return count


def _blocks(x, metric, chunk):
    """Yield (slice of rows, their distances (m, N) to all samples, infinite to themselves)."""
    n = x.shape[0]
    if chunk is None:
        budget = _BLOCK_BYTES.get(x.device.type, _BLOCK_BYTES_ELSEWHERE)
        chunk = max(1, budget // (n * x.element_size()))
    check_count(chunk, "chunk", 1)
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        block = torch.cdist(
            x[rows], x, p=_ORDER[metric], compute_mode="donot_use_mm_for_euclid_dist"
        )
        block.diagonal(start).fill_(float("inf"))
        yield rows, block


def _nearest_by_blocks(x, k, metric, chunk):
    distance = x.new_empty((x.shape[0], k))
    index = torch.empty(distance.shape, dtype=torch.int64, device=x.device)
    for rows, block in _blocks(x, metric, chunk):
        distance[rows], index[rows] = block.topk(k, dim=1, largest=False)
    return Neighbours(distance, index)


def _nearest_by_tree(x, k, metric):
    n = x.shape[0]
    points = x.cpu().numpy()
    distance, index = cKDTree(points).query(
        points, k + 1, p=_ORDER[metric], workers=torch.get_num_threads()
    )
    found, index = torch.from_numpy(distance), torch.from_numpy(index).to(torch.int64)
    # The sample itself is not always first, and behind k copies of it not even on the list: then
    # the last of k + 1 equal entries goes.
    own = index == torch.arange(n)[:, None]
    own[:, -1] |= ~own.any(1)
    return Neighbours(found[~own].reshape(n, k).to(x), index[~own].reshape(n, k).to(x.device))


def _count_by_tree(x, radius):
    points, reach = x.cpu(), radius.cpu()
    # SciPy's ball is closed: the next smaller radius makes it open.
    inner = torch.nextafter(reach, torch.zeros_like(reach)).numpy()
    count = cKDTree(points.numpy()).query_ball_point(
        points.numpy(),
        inner,
        p=_ORDER["max"],
        workers=torch.get_num_threads(),
        return_length=True,
    )
    others = torch.from_numpy(count).to(torch.int64) - 1
    return torch.where(reach > 0, others, 0).to(x.device)
