"""Sums over all pairs of samples, one tile of the pairs at a time, with or without gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pnpfuse_analysis.samples import check_count

# Rows and columns of a tile: a few MB in float64 stay near a CPU's caches, an accelerator wants
# more at once.
_EDGE = {"cpu": 512}
_EDGE_ELSEWHERE = 4096


def sum_over_pairs(
    measure: Callable[..., tuple[Tensor, ...]],
    left: tuple[Tensor, ...],
    right: tuple[Tensor, ...] | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, ...]:
    """Return sums over all pairs (i, j) of samples, tile by tile.

    Where a gradient is recorded and there are several tiles, each is computed anew in the backward
    pass: memory is that of one tile there too. Second derivatives keep them all.

    Parameters
    ----------
    measure : callable
        measure(*left, *right, alike=...) for the parts of some rows and some columns, and whether
        both are the same samples. Returns the sum over the tile, of any shape, and, if asked for,
        sums along its rows (k, rows) and along its columns (k, columns).
    left, right : tuple of Tensor, each of shape (N, ...) and (M, ...)
        With right None the pairs are those of the left with itself, and `measure` is symmetric:
        tiles above the diagonal count twice, those below are left out.
    chunk : int or None
        Edge of a tile; None takes one that suits the device.

    Returns
    -------
    tuple of Tensor
        The sum over all tiles, and the sums along all rows (k, N) if `measure` gives them, which
        needs right=None.
    """
    edge = _EDGE.get(left[0].device.type, _EDGE_ELSEWHERE) if chunk is None else chunk
    check_count(edge, "chunk", 1)
    # Split once: a slice for each tile would have a gradient of full size for each tile.
    rows = _blocks(left, edge)
    columns = [] if right is None else _blocks(right, edge)
    down, across = (-(-len(parts[0]) // edge) for parts in (left, right or left))
    tiles = [(i, j) for i in range(down) for j in range(i if right is None else 0, across)]
    offset = 0 if right is None else len(rows)
    work = _Work(measure, edge, len(left[0]), tiles, len(left), len(right or left), offset)
    recorded = torch.is_grad_enabled() and any(part.requires_grad for part in rows + columns)
    if recorded and len(tiles) > 1:
        return _Anew.apply(work, *rows, *columns)
    return work.total(rows + columns)


def _blocks(parts, edge):
    """Blocks of rows of all parts: the first block of each, then the second of each ..."""
    blocks = zip(*(part.split(edge) for part in parts), strict=True)
    return [piece for block in blocks for piece in block]


class _Work(NamedTuple):
    """What to measure of which tiles, given all pieces: the rows' block by block, the columns'."""

    measure: Callable[..., tuple[Tensor, ...]]
    edge: int
    rows: int
    tiles: list[tuple[int, int]]
    left: int  # pieces to a block of rows
    right: int  # pieces to a block of columns
    offset: int  # where the columns' pieces begin; 0 if they are those of the rows

    def at(self, tile, pieces):
        """What `measure` says of a tile, and how often that counts."""
        i, j = tile
        start = self.offset + j * self.right
        given = pieces[i * self.left : (i + 1) * self.left], pieces[start : start + self.right]
        alike = not self.offset and i == j
        found = self.measure(*given[0], *given[1], alike=alike)
        return found, 1 if self.offset or alike else 2

    def margins(self, tile, sums, along):
        """The parts of sums (k, N) that belong to what a tile gives along rows and columns."""
        places = (place * self.edge for place in tile)
        return [
            sums[:, place : place + part.shape[1]]
            for place, part in zip(places, along, strict=False)
        ]

    def total(self, pieces):
        # In place: small results kept between large tiles would keep the allocator from using the
        # same memory again.
        whole = sums = None
        for tile in self.tiles:
            (part, *along), times = self.at(tile, pieces)
            if whole is None:
                whole = torch.zeros_like(part)
                sums = part.new_zeros(along[0].shape[0], self.rows) if along else None
            whole += part * times
            for place, found in zip(self.margins(tile, sums, along[:times]), along, strict=False):
                place += found
        return (whole,) if sums is None else (whole, sums)


class _Anew(torch.autograd.Function):
    """The sum over all tiles, whose graphs are built in the backward pass one after the other."""

    @staticmethod
    def forward(ctx: Any, work: _Work, *pieces: Tensor) -> tuple[Tensor, ...]:
        ctx.work = work
        ctx.save_for_backward(*pieces)
        return work.total(pieces)

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        work, needed = ctx.work, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            # Asked for by create_graph: second derivatives need the graph of all tiles.
            asked = [p for p, need in zip(ctx.saved_tensors, needed, strict=True) if need]
            whole = work.total(ctx.saved_tensors)
            found = iter(torch.autograd.grad(whole, asked, (slope, *slopes), create_graph=True))
            return None, *(next(found) if need else None for need in needed)
        leaves = [
            piece.detach().requires_grad_(need)
            for piece, need in zip(ctx.saved_tensors, needed, strict=True)
        ]
        for tile in work.tiles:
            with torch.enable_grad():
                (part, *along), times = work.at(tile, leaves)
            along = along[:times]
            given = work.margins(tile, slopes[0], along) if along else []
            torch.autograd.backward([part, *along], [slope * times, *given])
        return None, *(leaf.grad for leaf in leaves)


def square_distances(a: Tensor, b: Tensor, alike: bool = False) -> Tensor:
    """Return |a_i - b_j|^2 of samples (m, d) and (n, d): (m, n).

    Expanded, so that a matrix product does the work. The rounding of |a|^2 stays in each distance:
    centre the samples first. If a and b are alike, a_i is at 0 from itself.
    """
    square = a.square().sum(1)[:, None] + b.square().sum(1)
    found = torch.addmm(square, a, b.T, alpha=-2).clamp_min(0)
    if alike:
        found.diagonal().zero_()
    return found


def gaussian_less_one(a: Tensor, b: Tensor, alike: bool = False) -> Tensor:
    """Return exp(-|a_i - b_j|^2 / 2) - 1, with the digits of small ones: (m, n).

    Samples in units of the bandwidth; `alike` as in `sum_over_pairs`.
    """
    return torch.expm1(square_distances(a, b, alike) / -2)
