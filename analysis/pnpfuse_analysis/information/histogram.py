"""Entropy and mutual information of a few continuous variables, from binned counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from pnpfuse_analysis.samples import Array, as_samples, check_choice, check_count, standardised

from .discrete import (
    discrete_entropy,
    discrete_information,
    joint_codes,
    most_entropy,
    scarcity_note,
)
from .problem import (
    Problem,
    Settings,
    as_parts,
    constant_notes,
    flat_note,
    number_notes,
    storage_notes,
    ties_note,
)

# Columns in all: with more, a grid fine enough to see anything has more cells than samples.
_MOST_COLUMNS = 4


@dataclass(frozen=True)
class Histogram:
    """Binned counts with the Miller-Madow correction, for one or two columns a side.

    Binning is done once, on all samples: intervals and the drift with the sample size know the
    counting error, not what the bins hide. Information between bins is at most that between the
    variables.

    Attributes
    ----------
    bins : int or None
        Bins to a column; None takes as many as leave 8 samples to a cell of the joint grid, and
        for the entropy of d columns N^(1 / (1 + d)).
    edges : {"quantile", "width"} or None
        Bins of equal count, which follow heavy tails, or of equal width, which follow the density
        within the tails. None takes the first for information, the second for entropy.
    """

    bins: int | None = None
    edges: Literal["quantile", "width"] | None = None

    def __post_init__(self):
        if self.bins is not None:
            check_count(self.bins, "bins", 2)
        check_choice(self.edges, "edges", (None, "quantile", "width"))

    def __call__(self, x: Array, y: Array, settings: Settings) -> Problem:
        """Return the problem of the information between x and y."""
        raw = as_parts({"x": x, "y": y}, continuous=False)
        named = dict(zip("xy", raw, strict=True))
        columns = sum(part.shape[1] for part in raw)
        bins = self._bins((len(raw[0]) / 8) ** (1 / columns), columns)
        codes = [_binned(part, bins, self.edges or "quantile")[0] for part in raw]
        cells = [bins ** part.shape[1] for part in raw]
        return Problem(
            tuple(codes),
            discrete_information,
            "histogram",
            columns,
            ceiling=most_entropy(len(raw[0]), min(cells)),
            notes=constant_notes(named)
            + number_notes({"x": x, "y": y})
            + storage_notes({"x": x, "y": y})
            + scarcity_note(joint_codes(codes), "the bins of (x, y)"),
        )

    def entropy(self, x: Array, settings: Settings) -> Problem:
        """Return the problem of the entropy of x: counts, and the mean log volume of the bins."""
        samples = as_samples(x, "x")
        share, ties = ties_note([samples])
        varies = samples.amax(0) > samples.amin(0)
        rank = int(varies.sum())
        if not rank:
            codes = torch.zeros_like(samples[:, 0], dtype=torch.int64)
            volumes = samples.new_full((len(samples),), -math.inf)
        else:
            bins = self._bins(len(samples) ** (1 / (1 + rank)), rank)
            codes, volumes = _binned(samples[:, varies], bins, self.edges or "width")
        return Problem(
            (codes, volumes),
            lambda cell, volume: discrete_entropy(cell) + volume,
            "histogram",
            rank,
            tie_fraction=share,
            notes=flat_note(rank, samples.shape[1])
            + ties
            + storage_notes({"x": x})
            + scarcity_note(codes, "the bins of x"),
        )

    def _bins(self, sensible, columns):
        if columns > _MOST_COLUMNS:
            raise ValueError(
                f"a histogram takes at most {_MOST_COLUMNS} columns in all, found {columns}; "
                "reduce them, or use a method that does not bin"
            )
        return self.bins or max(2, round(sensible))


def _binned(x, bins, kind):
    """Cell code (N,) of each sample in x (N, d), and the log volume (N,) of its cell."""
    z, scale, kept = standardised(x)
    codes, volume = [torch.zeros_like(x[:, 0], dtype=torch.int64)], torch.zeros_like(x[:, 0])
    for column, unit in zip(z.T, scale, strict=True):
        edges = _edges(column.contiguous(), bins, kind)
        cell = torch.bucketize(column.contiguous(), edges[1:-1], right=True)
        codes.append(cell)
        volume = volume + edges.diff().log()[cell] + unit.log()
    return joint_codes(codes), volume


def _edges(column, bins, kind):
    """Edges (at most bins + 1,) of the bins of a column (N,) that varies."""
    low, high = column.aminmax()
    if kind == "width":
        step = torch.linspace(0, 1, bins + 1, dtype=column.dtype, device=column.device)
        return low + (high - low) * step
    ordered = column.sort().values
    n = len(ordered)
    at = torch.arange(1, bins, device=column.device) * n // bins
    # Halfway between two samples, so that none lies on an edge; repeated values share a bin.
    middle = (ordered[(at - 1).clamp(min=0)] + ordered[at]) / 2
    inner = middle[(middle > low) & (middle < high)].unique()
    return torch.cat((low[None], inner, high[None]))
