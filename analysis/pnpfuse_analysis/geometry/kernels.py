"""Gaussian kernels between samples: bandwidth, maximum mean discrepancy, kernel distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pnpfuse_analysis.samples import Array, as_labels, as_tensor

from .features import as_features, as_matrix, as_pair
from .tiles import gaussian_less_one, sum_over_pairs

# Rows that the median of distances is taken over: it is then known to 1 or 2 %.
_MEDIAN_ROWS = 2000


def median_bandwidth(x: Array, y: Array | None = None) -> Tensor:
    """Return the median distance between samples, the usual width of a Gaussian kernel.

    Take it once, from the features that all others will be compared with, and pass the number on:
    a bandwidth of their own for every epoch or model makes kernel values incomparable.

    Parameters
    ----------
    x, y : Tensor or ndarray, shapes (N, d) and (M, d), or (N,) and (M,)
        Samples of any real dtype, pooled. No gradient flows into the result.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape ()
        On the device of x. The median over pairs at a distance > 0 (copies say nothing of scale); 1
        if there is none, where any width does; NaN for non-finite features. Above 2000 samples it
        is that of 2000 of them, drawn the same way every time.

    Raises
    ------
    ValueError
        On wrong types, widths that differ, or a batch.

    References
    ----------
    Gretton et al., "A kernel two-sample test", J. Mach. Learn. Res. 13 (2012) 723, Section 8.
    """
    as_matrix(x, "x")
    parts = (as_features(x, "x"),) if y is None else as_pair(x, y, columns=True)
    pool = torch.cat([part.detach() for part in parts])
    if len(pool) > _MEDIAN_ROWS:
        # On the CPU, whatever the default device: the same draw for every device.
        drawn = torch.Generator("cpu").manual_seed(0)
        order = torch.randperm(len(pool), generator=drawn, device="cpu")
        pool = pool[order[:_MEDIAN_ROWS].to(pool.device)]
    # Distances of 1e-200 and 1e200 must survive squaring.
    reach = pool.abs().amax()
    apart = torch.pdist(pool / torch.where(reach > 0, reach, 1))
    apart = apart[~(apart == 0)]  # NaN stays
    if not apart.numel():
        return pool.new_ones(())
    low, high = (len(apart) + 1) // 2, len(apart) // 2 + 1
    middle = (apart.kthvalue(low).values + apart.kthvalue(high).values) / 2
    return torch.where(torch.isfinite(apart).all(), middle * reach, torch.nan)


def mmd2(
    x: Array,
    y: Array,
    bandwidth: float | Tensor | Literal["median"],
    *,
    unbiased: bool = True,
    chunk: int | None = None,
) -> Tensor:
    """Return the squared maximum mean discrepancy between two samples.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) with k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)):
    Gretton et al., J. Mach. Learn. Res. 13 (2012) 723, Eq. (3) without, Eq. (5) with the pairs of a
    sample with itself. 0 in the mean for samples of one distribution if unbiased.

    Parameters
    ----------
    x, y : Tensor or ndarray, shapes (N, d) and (M, d), (N,) and (M,), or with a batch in front
        Samples in one space, of any real dtype. The result is differentiable in both.
    bandwidth : float, Tensor of shape (), or "median"
        Width of the kernel in units of x. "median" takes `median_bandwidth(x, y)`: values of
        different epochs or models are then not comparable.
    unbiased : bool
        Leave out the pairs of a sample with itself. The value may then be negative, and needs
        N, M >= 2; with them it is never below 0, but above it by about 1/N + 1/M.
    chunk : int, optional
        Edge of a tile of the pairs; None fits it to the machine. Beyond copies of x and y, memory
        is O(chunk^2), with gradients too.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. NaN for non-finite features, or a bandwidth tensor that is not > 0.

    Raises
    ------
    ValueError
        On wrong types, widths or batches that differ, too few samples, or a bandwidth that is no
        number > 0.
    """
    a, b = as_pair(x, y, columns=True, least=2 if unbiased else 1)
    if a.ndim == 3:
        both = zip(a, b, strict=True)
        return torch.stack([mmd2(*one, bandwidth, unbiased=unbiased, chunk=chunk) for one in both])
    if isinstance(bandwidth, str) and bandwidth == "median":
        bandwidth = median_bandwidth(a, b)
    width = as_bandwidth(bandwidth, a)
    a, b = _in_bandwidths(a, b, width)

    def measure(u, v, alike):
        return (gaussian_less_one(u, v, alike).sum(),)

    def mean(u: Tensor, v: Tensor | None = None) -> Tensor:
        (total,) = sum_over_pairs(measure, (u,), None if v is None else (v,), chunk)
        return total / (len(u) * (len(u) - unbiased if v is None else len(v)))

    # k - 1 in place of k: the ones cancel, and their rounding with them.
    return mean(a) + mean(b) - 2 * mean(a, b)


@dataclass(frozen=True, eq=False)
class KernelDistances:
    """Mean Gaussian kernel distances between two modalities; `float()` gives the overall one.

    Attributes
    ----------
    overall : Tensor, shape ()
        Over all pairs of a sample of x and one of y.
    within, between : Tensor, shape (), or None
        Over the pairs of one class, and of two different classes; None without labels.
    classes : Tensor, shape (C,), or None
        The labels, sorted; a NumPy array if they are strings.
    matrix : Tensor, shape (C, C), or None
        Over the pairs of class a in x and class b in y; its diagonal is the distance of each class.
    bandwidth : Tensor, shape ()
        Width of the kernel.
    """

    overall: Tensor
    bandwidth: Tensor
    within: Tensor | None = None
    between: Tensor | None = None
    classes: Tensor | NDArray[Any] | None = None
    matrix: Tensor | None = None

    def __float__(self) -> float:
        return float(self.overall)

    def scalars(self) -> dict[str, Tensor]:
        """Return overall, within, between and the distance of each class, by name."""
        found = {"overall": self.overall, "bandwidth": self.bandwidth}
        if self.matrix is None or self.within is None or self.between is None:
            return found
        assert self.classes is not None
        found |= {"within": self.within, "between": self.between}
        own = self.matrix.diagonal().detach().cpu()
        return found | {
            f"class/{label}": value for label, value in zip(self.classes.tolist(), own, strict=True)
        }


def kernel_distance(
    x: Array,
    y: Array,
    labels: Tensor | NDArray[Any] | None = None,
    bandwidth: float | Tensor | None = None,
    *,
    chunk: int | None = None,
) -> KernelDistances:
    """Return how far two modalities lie apart on average, over all pairs and class by class.

    The distance of a pair is that of its images in the kernel's feature space,
    |phi(a) - phi(b)| = sqrt(2 - 2 k(a, b)) with k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)), from 0
    to sqrt 2, where it saturates some three bandwidths apart. "Average Gaussian kernel distance" of
    cross-modal features, those of the same category apart, is what InfoBridge draws in Fig. 3; it
    prints no formula.

    Parameters
    ----------
    x, y : Tensor or ndarray, shapes (N, d) and (M, d), or (N,) and (M,)
        The two modalities in one space, of any real dtype. The result is differentiable in both.
    labels : Tensor or ndarray, shape (N,), optional
        Class of each sample, numbers or strings; x and y are then two views of the same samples.
    bandwidth : float or Tensor of shape ()
        Width of the kernel, to be given: from `median_bandwidth` once, of the first epoch or a
        baseline. Values are comparable at one bandwidth only.
    chunk : int, optional
        Edge of a tile of the pairs; None fits it to the machine. Beyond copies of x and y, memory
        is O(chunk^2), with gradients too.

    Returns
    -------
    KernelDistances
        Tensors of float64 (float32 on MPS) on the device of x. NaN for non-finite features, and for
        `between` if there is one class only.

    Raises
    ------
    ValueError
        On wrong types, widths that differ, a batch, labels that do not fit, or a bandwidth that is
        no number > 0.
    """
    as_matrix(x, "x")
    a, b = as_pair(x, y, columns=True, rows=labels is not None)
    width = as_bandwidth(bandwidth, a)
    classes, member = _classes(labels, a)
    a, b = _in_bandwidths(a, b, width)
    ours = a.new_ones(len(a), 1) if member is None else member
    theirs = b.new_ones(len(b), 1) if member is None else member

    def measure(u, ours, v, theirs, alike):
        square = -2 * gaussian_less_one(u, v)
        # The root has no finite slope at 0: gradient 0 there.
        same = square == 0
        distance = torch.where(same, 0, torch.where(same, 1, square).sqrt())
        return (ours.T @ distance @ theirs,)

    (total,) = sum_over_pairs(measure, (a, ours), (b, theirs), chunk)  # (C, C)
    pairs = ours.sum(0)[:, None] * theirs.sum(0)
    overall = total.sum() / pairs.sum()
    if classes is None:
        return KernelDistances(overall, width)
    own, own_pairs = total.diagonal().sum(), pairs.diagonal().sum()
    between = (total.sum() - own) / (pairs.sum() - own_pairs)
    return KernelDistances(overall, width, own / own_pairs, between, classes, total / pairs)


def as_bandwidth(bandwidth: float | Tensor | None, like: Tensor) -> Tensor:
    """Return a kernel's width as a tensor () beside `like`; tensors are not looked at."""
    if isinstance(bandwidth, Tensor) and bandwidth.ndim == 0 and not bandwidth.is_complex():
        width = bandwidth.detach().to(like)
        return torch.where(width > 0, width, torch.nan)
    number = math.nan
    if isinstance(bandwidth, Real) and not isinstance(bandwidth, bool):
        number = float(bandwidth)
    if not 0 < number < math.inf:
        raise ValueError(
            "bandwidth must be a number > 0 in units of the features, found "
            f"{bandwidth!r}; median_bandwidth(x, y) gives one to fix once"
        )
    return torch.full((), number, dtype=like.dtype, device=like.device)


def _in_bandwidths(a, b, width):
    """Samples in units of the bandwidth, about the mean of b."""
    # The kernel does not mind a shift, but the expansion of squares does.
    shift = b.detach().mean(0)
    return (a - shift) / width, (b - shift) / width


def _classes(labels, like):
    """The classes (C,) and who belongs to them, 0 or 1 (N, C); None, None without labels."""
    if labels is None:
        return None, None
    names = None
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "USO":
        found = as_labels(labels, "labels")  # codes of strings in their order
        names = np.unique(labels)
    else:
        found = as_tensor(labels, "labels")
    if tuple(labels.shape) != like.shape[:1]:
        raise ValueError(
            f"labels must have shape ({len(like)},), one for each sample, found "
            f"{tuple(labels.shape)}"
        )
    classes, which = torch.unique(found.to(like.device), return_inverse=True)
    if classes.is_floating_point() and classes.isnan().any():
        raise ValueError("labels must not be NaN; drop those samples, or give them a class")
    member = torch.nn.functional.one_hot(which, len(classes)).to(like)
    return classes if names is None else names, member
