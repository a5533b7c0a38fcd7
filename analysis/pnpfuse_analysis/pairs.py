"""Sums over all pairs of samples, one tile of the pairs at a time, with or without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .samples import check_count

Tile = tuple[slice, slice]

# Rows and columns of a tile: a few MB in float64 stay near a CPU's caches, an accelerator wants
# more at once.
_EDGE = {"cpu": 512}
_EDGE_ELSEWHERE = 4096


def tiles(
    rows: int, columns: int | None, device: torch.device, chunk: int | None
) -> Iterator[tuple[Tile, int]]:
    """Yield tiles of the pairs (i, j), and how often each counts.

    With columns None the pairs are those of one sample with itself: tiles above the diagonal count
    twice, those below are left out.
    """
    edge = _EDGE.get(device.type, _EDGE_ELSEWHERE) if chunk is None else chunk
    check_count(edge, "chunk", 1)
    symmetric = columns is None
    across = rows if columns is None else columns
    for i in range(0, rows, edge):
        for j in range(i if symmetric else 0, across, edge):
            tile = slice(i, min(i + edge, rows)), slice(j, min(j + edge, across))
            yield tile, 1 + (symmetric and j > i)


def tile_by_tile(
    measure: Callable[[Tile], Any],
    parts: tuple[Tensor, ...],
    columns: int | None = None,
    chunk: int | None = None,
) -> Iterator[tuple[Any, Tile, int]]:
    """Yield measure(tile), the tile, and how often it counts.

    Where a gradient is recorded and there are several tiles, each is computed anew in the backward
    pass: memory is that of one tile there too.

    Parameters
    ----------
    measure : callable
        Takes (rows, columns), two slices; returns tensors far smaller than the tile.
    parts : tuple of Tensor, each of shape (N, ...)
        What `measure` depends on. The first gives the number of rows.
    columns, chunk
        Number of columns, None for the pairs of one sample; edge of a tile, None for a default.
    """
    first = parts[0]
    every = list(tiles(first.shape[0], columns, first.device, chunk))
    graph = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    for tile, times in every:
        if graph and len(every) > 1:
            found = checkpoint(measure, tile, use_reentrant=False, preserve_rng_state=False)
        else:
            found = measure(tile)
        yield found, tile, times


def square_distances(a: Tensor, b: Tensor, diagonal: bool = False) -> Tensor:
    """Return |a_i - b_j|^2 of samples (m, d) and (n, d): (m, n).

    Expanded, so that a matrix product does the work. The rounding of |a|^2 stays in each distance:
    centre the samples first. With diagonal=True a and b are the same, and a_i is at 0 from itself.
    """
    square = a.square().sum(1)[:, None] + b.square().sum(1)
    found = torch.addmm(square, a, b.T, alpha=-2).clamp_min(0)
    if diagonal:
        found.diagonal().zero_()
    return found


def gaussian_less_one(a: Tensor, b: Tensor, bandwidth: Tensor, diagonal: bool = False) -> Tensor:
    """Return exp(-|a_i - b_j|^2 / (2 bandwidth^2)) - 1, with the digits of small ones: (m, n)."""
    return torch.expm1(square_distances(a, b, diagonal) / (-2 * bandwidth.square()))
