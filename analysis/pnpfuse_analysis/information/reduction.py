"""Information after a linear reduction: principal components, or cross-fitted canonical pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse_analysis.samples import (
    Array,
    as_samples,
    check_choice,
    check_count,
    holds_labels,
    standard_columns,
)

from .problem import Method, Problem, Settings, as_parts, constant_notes, storage_notes

_DEFAULT_COMPONENTS = 2
_MOST_PAIRS = 16


class Whitening(NamedTuple):
    """A map to coordinates of unit covariance: (x - centre) @ matrix.

    Attributes
    ----------
    centre : Tensor, shape (d,)
    matrix : Tensor, shape (d, r)
    """

    centre: Tensor
    matrix: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.centre) @ self.matrix


def shrunk_whitening(x: Tensor) -> Whitening:
    """Return the whitening of samples (N, d) by a covariance shrunk towards a multiple of 1.

    The share is that of Ledoit and Wolf, J. Multivar. Anal. 88 (2004) 365: next to nothing for
    N >> d, and enough for N < d. Directions that the samples do not reach are left out.
    """
    n, d = x.shape
    centre = x.mean(0)
    centred = x - centre
    _, singular, vh = torch.linalg.svd(centred, full_matrices=False)
    variance = singular.square() / n
    level, square = variance.sum() / d, variance.square().sum()
    gap = square / d - level.square()
    noise = (centred.square().sum(1).square().mean() - square) / (n * d)
    share = (noise / gap.clamp(min=torch.finfo(x.dtype).tiny)).clamp(0, 1)
    kept = singular > 10 * d * torch.finfo(x.dtype).eps * singular[0]
    spread = ((1 - share) * variance + share * level)[kept].sqrt()
    return Whitening(centre, vh[kept].T / spread)


def canonical_maps(x: Tensor, y: Tensor, pairs: int) -> tuple[Whitening, Whitening]:
    """Return maps of x (N, d_x) and y (N, d_y) to their first canonical pairs."""
    a, b = shrunk_whitening(x), shrunk_whitening(y)
    u, _, vh = torch.linalg.svd(a(x).T @ b(y) / len(x), full_matrices=False)
    return (
        Whitening(a.centre, a.matrix @ u[:, :pairs]),
        Whitening(b.centre, b.matrix @ vh[:pairs].T),
    )


def reduced(method: Method, name: str, reduce: str | None, components: int | None) -> Method:
    """Return a method that runs another one, called `name`, after a reduction.

    "pca": both variables (labels aside) are replaced by their leading principal components. What
    the others carry is lost, so the information can only become less.

    "cca": canonical pairs are fitted on every other sample and the method measures each pair on the
    samples between, then the reverse; the value is the mean of both, summed over pairs. No sample
    is measured on a map that it helped to fit, and the permutation null fits its own. Dependence
    that is not linear helps to find no pair, and different pairs are taken as independent.
    """
    check_choice(reduce, "reduce", (None, "pca", "cca"))
    if reduce is None:
        raise ValueError(f"components={components} asks for reduce='pca' or reduce='cca'")
    if components is not None:
        check_count(components, "components", 1)
    if reduce == "pca":
        return lambda x, y, settings: _principal(method, name, components, x, y, settings)
    return lambda x, y, settings: _canonical(method, name, components, x, y, settings)


def _principal(method, name, components, x: Array, y: Array, settings: Settings) -> Problem:
    found: list[Array] = []
    notes: tuple[str, ...] = ()
    for letter, one in (("x", x), ("y", y)):
        if holds_labels(one, letter):
            found.append(one)
            continue
        samples = as_samples(one, letter)
        z = standard_columns(samples) if settings.scale else samples
        u, singular, _ = torch.linalg.svd(z - z.mean(0), full_matrices=False)
        count = min(components or _DEFAULT_COMPONENTS, z.shape[1])
        found.append(u[:, :count] * singular[:count])
        variance = singular.square()
        share = float(variance[:count].sum() / variance.sum()) if variance.any() else 1.0
        notes += (
            f"{count} of {samples.shape[1]} dimensions of {letter} keep {share:.1%} of its "
            "variance; information in the others is not seen.",
        )
    problem = method(*found, settings)
    return replace(
        problem,
        method=f"{name} of principal components",
        notes=problem.notes + notes + storage_notes({"x": x, "y": y}),
    )


def _canonical(method, name, components, x: Array, y: Array, settings: Settings) -> Problem:
    raw = as_parts({"x": x, "y": y})
    parts = tuple(standard_columns(part) for part in raw)
    there = min(part.shape[1] for part in parts)
    pairs = min(components or _MOST_PAIRS, there)
    left_out = (
        f"{there - pairs} of {there} canonical pairs are left out, and what they tell is missing "
        f"in the value; components={there} takes all.",
    )

    def measure(a: Tensor, b: Tensor) -> Tensor:
        local = found = a.new_zeros(len(a))
        for fit, held in ((0, 1), (1, 0)):
            maps = canonical_maps(a[fit::2], b[fit::2], pairs)
            left, right = (to(part[held::2]) for to, part in zip(maps, (a, b), strict=True))
            for u, v in zip(left.T, right.T, strict=True):
                problem = method(u, v, settings)
                found = problem.measure(*problem.parts)
                local[held::2] += found
        return local if found.ndim else local.mean()

    return Problem(
        parts,
        measure,
        f"{name} of canonical pairs",
        2 * pairs,
        2 * settings.k + 1,
        "2 k + 1",
        notes=constant_notes(dict(zip("xy", raw, strict=True)))
        + storage_notes({"x": x, "y": y})
        + (
            f"Sum over {pairs} canonical pairs, fitted on one half of the samples and measured on "
            "the other: independent variables read about 0.01 a pair, so compare with the null "
            "(null=39).",
        )
        + (left_out if pairs < there else ()),
        sees="dependence along linear (canonical) pairs",
    )
