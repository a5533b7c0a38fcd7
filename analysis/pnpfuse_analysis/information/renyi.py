"""Renyi entropy and information from the eigenvalues of kernel matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, check_count, seeded, standard_columns

from .problem import Problem, Settings, as_parts, constant_notes, storage_notes
from .resampling import random_order

# Eigenvalues take N^3 operations and N^2 memory: minutes, and half a GiB, at this size.
_MOST_SAMPLES = 8192


def renyi_entropy(kernels: Sequence[Tensor], alpha: float) -> Tensor:
    """Return the matrix-based entropy of order alpha of kernel matrices (N, N) with diagonal 1; ().

    S = log(sum_i lambda_i^alpha) / (1 - alpha) over the eigenvalues of the product of the kernels,
    entry by entry, divided by N; -sum_i lambda_i log lambda_i at alpha = 1. From 0 (all samples
    alike) to log N (all apart). Sanchez Giraldo et al., IEEE Trans. Inf. Theory 61 (2015) 535.
    """
    product = kernels[0]
    for kernel in kernels[1:]:
        product = product * kernel
    share = torch.linalg.eigvalsh(product / len(product)).clamp(min=0)
    if alpha == 1:
        return -torch.special.xlogy(share, share).sum()
    return share.pow(alpha).sum().log() / (1 - alpha)


def gaussian_kernel(x: Tensor, bandwidth: float) -> Tensor:
    """Return exp(-|x_i - x_j|^2 / (2 bandwidth^2)) of samples (N, d); (N, N)."""
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-((distance / bandwidth) ** 2) / 2)


def median_distance(x: Tensor) -> float:
    """Return the median distance between samples (N, d) that differ; 1 if none do."""
    distance = torch.pdist(x)
    distance = distance[distance > 0]
    return float(distance.median()) if len(distance) else 1.0


@dataclass(frozen=True)
class Renyi:
    """Matrix-based Renyi entropy, and information as its excess over broken pairs.

    The level of these numbers is set by the bandwidth: independent samples give anything from 0
    (wide kernels) to log N (narrow ones). The information is therefore that of the pairs less the
    mean of that of permuted pairs, with the same kernels.

    Attributes
    ----------
    alpha : float
        Order, above 0.
    bandwidth : float or "median"
        Width of the Gaussian kernel, in units of the columns' spread if `standardise`; "median" is
        the median distance between samples. It is fixed before resampling.
    permutations : int
        Number of permuted pairs behind the subtracted level.
    """

    alpha: float = 1.01
    bandwidth: float | Literal["median"] = "median"
    permutations: int = 5

    def __post_init__(self):
        if not _positive(self.alpha):
            raise ValueError(f"alpha must be above 0, found {self.alpha!r}")
        if self.bandwidth != "median" and not _positive(self.bandwidth):
            raise ValueError(f"bandwidth must be 'median' or above 0, found {self.bandwidth!r}")
        check_count(self.permutations, "permutations", 1)

    def __call__(self, x: Array, y: Array, settings: Settings) -> Problem:
        """Return the problem of the information between x and y."""
        raw = as_parts({"x": x, "y": y})
        generator = seeded(settings.generator)
        parts, widths = zip(*(self._prepared(part, settings.scale) for part in raw), strict=True)

        def levels(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            """Entropy of the pairs, and of broken pairs: those of a and b alone cancel."""
            kernels = [gaussian_kernel(z, w) for z, w in zip((a, b), widths, strict=True)]
            broken = []
            for _ in range(self.permutations):
                order = random_order(len(a), generator, a)
                broken.append(renyi_entropy([kernels[0], kernels[1][order][:, order]], self.alpha))
            return renyi_entropy(kernels, self.alpha), torch.stack(broken).mean()

        whole = levels(*parts)
        alone = sum(
            renyi_entropy([gaussian_kernel(z, w)], self.alpha)
            for z, w in zip(parts, widths, strict=True)
        )

        def measure(a: Tensor, b: Tensor) -> Tensor:
            together, broken = whole if a is parts[0] and b is parts[1] else levels(a, b)
            return broken - together

        notes = (
            f"S(x) + S(y) - S(x, y) is {float(alone - whole[0]):.4g}, of which "
            f"{float(alone - whole[1]):.4g} remain when the pairs are broken; the value is the "
            f"difference, at bandwidths {widths[0]:.3g} and {widths[1]:.3g}. It depends on them, "
            "and compares only with values at the same ones.",
        )
        return Problem(
            parts,
            measure,
            f"renyi, alpha={self.alpha:g}",
            sum(part.shape[1] for part in raw),
            ceiling=math.log(len(raw[0])),
            notes=constant_notes(dict(zip("xy", raw, strict=True)))
            + storage_notes({"x": x, "y": y})
            + notes,
        )

    def entropy(self, x: Array, settings: Settings) -> Problem:
        """Return the problem of the entropy of x."""
        (raw,) = as_parts({"x": x})
        z, width = self._prepared(raw, settings.scale)
        return Problem(
            (z,),
            lambda part: renyi_entropy([gaussian_kernel(part, width)], self.alpha),
            f"renyi, alpha={self.alpha:g}",
            raw.shape[1],
            ceiling=math.log(len(raw)),
            notes=storage_notes({"x": x})
            + (
                f"Kernel entropy at bandwidth {width:.3g}: between 0 and log N whatever the unit "
                "of x, set by the bandwidth, and no differential entropy.",
            ),
        )

    def _prepared(self, x, scale):
        """Samples (N, d), at unit spread if `scale`, and the width of their kernel."""
        if len(x) > _MOST_SAMPLES:
            raise ValueError(
                f"a kernel matrix takes at most N={_MOST_SAMPLES} samples, found N={len(x)}; "
                "give a random part of them"
            )
        z = standard_columns(x) if scale else x
        return z, median_distance(z) if self.bandwidth == "median" else float(self.bandwidth)


def _positive(value) -> bool:
    """Whether value is a finite number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf
