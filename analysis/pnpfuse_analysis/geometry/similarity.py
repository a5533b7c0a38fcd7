"""Similarity of two representations of the same samples: centred kernel alignment."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, check_choice, check_count

from .features import as_pair, centred
from .kernels import as_bandwidth, median_bandwidth
from .tiles import gaussian_less_one, sum_over_pairs

Kernel = Literal["linear", "rbf"]
Bandwidth = float | Tensor | tuple[float | Tensor, float | Tensor]


def cka(
    x: Array,
    y: Array,
    *,
    unbiased: bool = True,
    kernel: Kernel = "linear",
    bandwidth: Bandwidth | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Return how alike two representations of the same samples are, whatever their bases.

    CKA = HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)): Kornblith et al., arXiv:1905.00414. It does not
    change with rotations, shifts and one common scale of either side, and is 1 for x = y.

    Parameters
    ----------
    x, y : Tensor or ndarray, shapes (N, d_x) and (N, d_y), (N,), or with a batch in front
        Two views of the same samples, of any real dtype; the widths may differ. The result is
        differentiable in both.
    unbiased : bool
        With HSIC_1 of Song et al., J. Mach. Learn. Res. 13 (2012) 1393, Eq. (5), as Nguyen et al.,
        arXiv:2010.15327, have it: unrelated features read 0 on average, hence also less than 0. The
        biased form is never negative, but reads high for few samples in many dimensions (unrelated,
        N = 32, d = 8: 0.2), up to 1 for N << d.
    kernel : {"linear", "rbf"}
        Inner products, or exp(-|a - b|^2 / (2 bandwidth^2)).
    bandwidth : float, Tensor of shape (), or a pair of them, optional
        For "rbf": widths for x and y. None takes `median_bandwidth` of each.
    chunk : int, optional
        Edge of a tile of the pairs; None fits it to the machine. The linear kernel needs no pairs
        unless N is below the widths: it then costs O(N d^2), else O(N^2 d), and beyond copies of x
        and y memory is O(d^2) or O(chunk^2), with gradients too.

    Returns
    -------
    Tensor of float64 (float32 on MPS), shape () or (B,)
        On the device of x. NaN, as 0/0 has no value, where one side has no structure to compare:
        all samples equal, or, if unbiased, all pairs alike (as for one-hot rows, each its own, or a
        bandwidth far below all distances). NaN for non-finite features, too.

    Raises
    ------
    ValueError
        On wrong types, sample numbers or batches that differ, N < 4 (unbiased) or N < 2, an unknown
        kernel, or a bandwidth that is no number > 0 or does not belong to the kernel.
    """
    check_choice(kernel, "kernel", ("linear", "rbf"))
    if kernel == "linear" and bandwidth is not None:
        raise ValueError(f"bandwidth must be None for kernel='linear', found {bandwidth!r}")
    if chunk is not None:
        check_count(chunk, "chunk", 1)  # where no pairs are formed, too
    a, b = as_pair(x, y, rows=True, least=4 if unbiased else 2)
    if a.ndim == 3:
        both = zip(a, b, strict=True)
        ways = {"unbiased": unbiased, "kernel": kernel, "bandwidth": bandwidth, "chunk": chunk}
        return torch.stack([cka(*one, **ways) for one in both])  # type: ignore[arg-type]
    if kernel == "linear":
        a, b = centred(a, rescale=True), centred(b, rescale=True)
        return hsic_ratio(linear_hsic(a, b, unbiased, chunk))
    if bandwidth is None:
        a, b = centred(a, rescale=True), centred(b, rescale=True)
        bandwidth = median_bandwidth(a), median_bandwidth(b)
    return hsic_ratio(gaussian_hsic(a, b, bandwidth, unbiased, chunk))


def hsic_ratio(hsic: Tensor) -> Tensor:
    """Return CKA from HSIC of (x, y), (x, x) and (y, y), in one tensor (3,): ()."""
    cross, own_x, own_y = hsic
    defined = (own_x > 0) & (own_y > 0)
    size = torch.where(defined, own_x, 1).sqrt() * torch.where(defined, own_y, 1).sqrt()
    return torch.where(defined, cross / size, torch.nan)


def linear_hsic(x: Tensor, y: Tensor, unbiased: bool, chunk: int | None = None) -> Tensor:
    """Return HSIC with inner products of centred (x, y), (x, x) and (y, y): (3,)."""
    n, dx, dy = len(x), x.shape[1], y.shape[1]
    # tr(K L) = |X^T Y|^2 without any pair, where that costs less than the pairs.
    if dx * dx + dx * dy + dy * dy <= n * (dx + dy):
        squares = [(a.T @ b).square().sum() for a, b in ((x, y), (x, x), (y, y))]
        products = torch.stack(squares)
    else:

        def measure(x, y, other_x, other_y, alike):
            return (_products(x @ other_x.T, y @ other_y.T),)

        (products,) = sum_over_pairs(measure, (x, y), chunk=chunk)
    norm_x, norm_y = (torch.linalg.vector_norm(part, dim=1).square() for part in (x, y))
    if not unbiased:
        return _hsic(products, torch.zeros_like(norm_x), torch.zeros_like(norm_y), n, unbiased)
    # Rows of K sum to 0 with its diagonal, hence to -|x_i|^2 without.
    rest = products - _products(norm_x, norm_y)
    return _hsic(rest, -norm_x, -norm_y, n, unbiased, products)


def as_bandwidths(bandwidth: Bandwidth, like: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Return the widths of two kernels, of one or a pair, as tensors () beside `like`."""
    pair = bandwidth if isinstance(bandwidth, tuple) else (bandwidth, bandwidth)
    if len(pair) != 2:
        raise ValueError(f"bandwidth must be one width, or a pair for x and y, found {bandwidth!r}")
    return [as_bandwidth(width, part) for width, part in zip(pair, like, strict=True)]


def gaussian_hsic(
    x: Tensor, y: Tensor, bandwidth: Bandwidth, unbiased: bool, chunk: int | None = None
) -> Tensor:
    """Return HSIC with Gaussian kernels of (x, y), (x, x) and (y, y): (3,)."""
    widths = as_bandwidths(bandwidth, (x, y))
    x, y = (
        (part - part.detach().mean(0)) / width for part, width in zip((x, y), widths, strict=True)
    )

    def measure(x, y, other_x, other_y, alike):
        # HSIC does not see a constant, so K - 1 does: it keeps the digits of wide kernels.
        kx = gaussian_less_one(x, other_x, alike)
        ky = gaussian_less_one(y, other_y, alike)
        across, down = (torch.stack((kx.sum(axis), ky.sum(axis))) for axis in (1, 0))
        return _products(kx, ky), across, down

    products, sums = sum_over_pairs(measure, (x, y), chunk=chunk)
    return _hsic(products, sums[0], sums[1], len(x), unbiased)


def _products(x, y):
    """Inner products over all entries of (x, y), (x, x) and (y, y): (3,)."""
    return torch.stack(((x * y).sum(), x.square().sum(), y.square().sum()))


def _hsic(products, sums_x, sums_y, n, unbiased, size=None):
    """HSIC (3,) from inner products of kernel matrices (3,) and their row sums (N,).

    Unbiased, the matrices have no diagonal. `size` is what the products are a difference of.
    """
    own = _products(sums_x, sums_y)
    total_x, total_y = sums_x.sum(), sums_y.sum()
    whole = torch.stack((total_x * total_y, total_x.square(), total_y.square()))
    if unbiased:
        inner = products - 2 / (n - 2) * own + whole / ((n - 1) * (n - 2))
        value = inner / (n * (n - 3))
    else:
        inner = products - 2 / n * own + whole / n**2
        value = inner / (n - 1) ** 2
    # HSIC(x, x) >= 0 but for rounding, and what is below that is nothing: 0/0 must not come out as
    # a number.
    floor = 16 * torch.finfo(inner.dtype).eps * (products if size is None else size)
    kept = ~(inner <= floor)
    kept[0] = True
    return torch.where(kept, value, 0)
