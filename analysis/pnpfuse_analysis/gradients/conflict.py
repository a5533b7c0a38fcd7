"""The report on conflict between losses, and the Gramians of gradients that it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pnpfuse_analysis.samples import widest

# Numbers in a gradient from which on a compiled pass is worth loading the compiler: half a second
# in a process, and some more once in an installation.
_COMPILED_NUMBERS = 2**17

# Bytes of widened gradients at a time: on a CPU what fits into the cache of a core.
_BLOCK_BYTES = {"cpu": 1 << 20}
_BLOCK_BYTES_ELSEWHERE = 256 << 20


@dataclass(frozen=True, eq=False)
class GradReport:
    """Gradients of several losses compared with that of the main one.

    L is the number of other losses, N that of samples. Tensors are float64 (float32 on MPS), on the
    device of the gradients.

    Attributes
    ----------
    main : str
        The loss that the others are compared with.
    names : tuple of str, length L
        The other losses, in the order given.
    cosine : Tensor, shape (L,)
        Cosine between the gradients over all entries; NaN where one of them vanishes or is not
        finite. Where gradients in float64 are not scaled first, as by a monitor and with
        `accumulate`, NaN as well where the square of a norm does not fit: 1e-150 to 1e150 do.
    gram : Tensor, shape (1 + L, 1 + L)
        Inner products of the gradients, the main loss first. They carry the losses' scale, and
        are infinite or zero beyond float64.
    norms : Tensor, shape (1 + L,)
        Norms of the gradients, the main loss first.
    sample_cosine : Tensor, shape (N, L), or None
        Cosine for each sample; NaN where one gradient vanishes or is not finite there.
    sample_gram : Tensor, shape (N, 1 + L, 1 + L), or None
        Inner products for each sample. At activations they sum to `gram`; for parameters they do
        not, since there the gradients of different samples overlap.
    conflict_rate : Tensor, shape (L,), or None
        Share of samples with a negative cosine among those where it is defined; NaN if none is.
    undefined : Tensor, shape (L,), or None
        Share of samples where the cosine is not defined.
    warnings : tuple of str
        What the reader of the numbers has to know, in whole sentences.
    """

    main: str
    names: tuple[str, ...]
    cosine: Tensor
    gram: Tensor
    norms: Tensor
    sample_cosine: Tensor | None = None
    sample_gram: Tensor | None = None
    conflict_rate: Tensor | None = None
    undefined: Tensor | None = None
    warnings: tuple[str, ...] = ()

    def scalars(self, prefix: str = "") -> dict[str, Tensor]:
        """Return the numbers by name, for any logger that takes a dict.

        Returns
        -------
        dict of str to Tensor, each of shape ()
            "<main>/<other>/cosine", "<main>/<other>/conflict_rate", "<main>/<other>/undefined" and
            "<loss>/norm", each behind `prefix`. Still on their device: nothing waits for them.
        """
        found = {}
        for place, name in enumerate(self.names):
            for kind in ("cosine", "conflict_rate", "undefined"):
                values = getattr(self, kind)
                if values is not None:
                    found[f"{prefix}{self.main}/{name}/{kind}"] = values[place]
        for place, name in enumerate((self.main, *self.names)):
            found[f"{prefix}{name}/norm"] = self.norms[place]
        return found

    def __repr__(self) -> str:
        lines = [f"GradReport against {self.main!r}:"]
        for i, name in enumerate(self.names):
            line = f"  {name}: cosine {self.cosine[i].item():.4f}"
            if self.conflict_rate is not None:
                line += f", negative in {self.conflict_rate[i].item():.1%}"
                if self.sample_cosine is not None:
                    line += f" of {len(self.sample_cosine)} samples"
            lines.append(line)
        return "\n".join(lines + [f"  warning: {text}" for text in self.warnings])


class Tally(NamedTuple):
    """What adds up over batches and processes, and from which a report follows.

    Attributes
    ----------
    gram : Tensor, shape (1 + L, 1 + L)
        Inner products of the gradients, the main loss first.
    counts : Tensor, shape (3, L), or None
        Samples with a negative cosine, samples with a cosine, and all samples.
    """

    gram: Tensor
    counts: Tensor | None

    @classmethod
    def of(cls, gram: Tensor, sample_cosine: Tensor | None) -> Tally:
        """Return the tally of one batch; sample_cosine is (N, L)."""
        if sample_cosine is None:
            return cls(gram, None)
        each = torch.stack(
            (sample_cosine < 0, sample_cosine.isfinite(), torch.ones_like(sample_cosine).bool())
        )
        return cls(gram, each.sum(1).to(gram.dtype))

    def report(self, main: str, names: tuple[str, ...], eps: float = 0.0, **more) -> GradReport:
        """Return the report; `more` are further fields of it."""
        rates = {}
        if self.counts is not None:
            negative, defined, samples = self.counts
            rates = {"conflict_rate": negative / defined, "undefined": 1 - defined / samples}
        found = {"cosine": cosines(self.gram, eps), "norms": self.gram.diagonal().sqrt()}
        return GradReport(main, names, gram=self.gram, **{**found, **rates, **more})


def cosines(gram: Tensor, eps: float = 0.0, sizes: Tensor | float = 1.0) -> Tensor:
    """Return the cosines (..., L) of the others with the first, from Gramians (..., 1+L, 1+L).

    NaN where a norm, times its size, is <= eps; or where its square is not a normal number.
    """
    squares = gram.diagonal(dim1=-2, dim2=-1)
    norms = squares.sqrt()
    fit = squares.isfinite() & (squares >= torch.finfo(gram.dtype).tiny) & (norms * sizes > eps)
    first, others = norms[..., :1], norms[..., 1:]
    defined = fit[..., :1] & fit[..., 1:]
    # Divided one after the other: the product of two tiny norms may underflow.
    cosine = (gram[..., 0, 1:] / first / others).clamp(-1, 1)
    return torch.where(defined, cosine, torch.nan)


def products(
    gradients: Sequence[Sequence[Tensor]], batch_dim: int | None, space: Tensor | None = None
) -> Tensor:
    """Return the inner products for each sample, or over all entries where batch_dim is None."""
    if batch_dim is None:
        return gramian(gradients, space)
    return sample_gramian(gradients, batch_dim)


def sample_gramian(gradients: Sequence[Sequence[Tensor]], batch_dim: int = 0) -> Tensor:
    """Return the inner products for each sample: (N, K, K) for K losses.

    Parameters
    ----------
    gradients : for each loss a sequence of Tensor, one a point
        Points count as one, flattened and concatenated; all have N entries along batch_dim.
    batch_dim : int
        The axis of samples.
    """
    first = gradients[0][0]
    samples, count = first.shape[batch_dim], len(gradients)
    wide = widest(first.device)
    gram = torch.zeros(samples, count, count, dtype=wide, device=first.device)
    for parts in zip(*gradients, strict=True):
        rows = [dense(part).movedim(batch_dim, 0).reshape(samples, -1) for part in parts]
        step = max(1, _block(first, count) // max(1, rows[0].shape[1]))
        for start in range(0, samples, step):
            block = torch.stack([row[start : start + step] for row in rows], 1).to(wide)
            gram[start : start + step] += (block @ block.mT).to(gram.device)  # block (n, K, d)
    return gram


def gramian(gradients: Sequence[Sequence[Tensor]], space: Tensor | None = None) -> Tensor:
    """Return the inner products over all entries: (K, K) for K losses; see `sample_gramian`.

    `space` is what `workspace` has made, for many calls.
    """
    count = len(gradients)
    space = workspace(gradients[0], count) if space is None else space
    gram = torch.zeros(count, count, dtype=space.dtype, device=space.device)
    size = space.shape[1]
    for parts in zip(*gradients, strict=True):
        flat = [dense(part).reshape(-1) for part in parts]
        if _compiled(flat):
            from .dots import inner_products

            rows = tuple(row.resolve_neg().numpy() for row in flat)
            gram += torch.from_numpy(inner_products(rows))
            continue
        for start in range(0, flat[0].numel(), size):
            block = space[:, : min(size, flat[0].numel() - start)]  # (K, <= size)
            for row, each in zip(block, flat, strict=True):
                row.copy_(each[start : start + size])
            gram += block @ block.T
    return gram


def _compiled(rows):
    """Whether rows (size,) are worth a compiled pass: it takes a fifth of the time on a CPU."""
    first = rows[0]
    plain = all(row.dtype == first.dtype and row.is_contiguous() for row in rows)
    floats = first.dtype in (torch.float32, torch.float64)
    return plain and floats and first.device.type == "cpu" and first.numel() >= _COMPILED_NUMBERS


def workspace(points: Sequence[Tensor], count: int) -> Tensor:
    """Return memory (K, size) for widened gradients of K losses: to allocate is what takes long."""
    first, most = points[0], max(point.numel() for point in points)
    size = max(1, min(_block(first, count), most))
    return torch.empty(count, size, dtype=widest(first.device), device=first.device)


def compare(
    gram: Tensor,
    main: str,
    names: tuple[str, ...],
    *,
    eps: float = 0.0,
    sizes: Tensor | float = 1.0,
    warnings: tuple[str, ...] = (),
) -> GradReport:
    """Return the report on inner products, the main loss first.

    Parameters
    ----------
    gram : Tensor, shape (1 + L, 1 + L), or (N, 1 + L, 1 + L) for each sample
    main, names
        As in the report.
    eps : float
        A gradient of norm <= eps has no direction.
    sizes : float, or Tensor of shape () or (1 + L,)
        The gradients are those of the inner products times their sizes.
    warnings : tuple of str
    """
    sizes = gram.new_ones(1 + len(names)) * sizes
    whole, each = gram, None
    if gram.ndim == 3:
        whole, each = gram.sum(0), cosines(gram, eps, sizes)
    return Tally.of(whole * sizes[:, None] * sizes, each).report(
        main,
        names,
        cosine=cosines(whole, eps, sizes),
        norms=whole.diagonal().sqrt() * sizes,
        sample_cosine=each,
        sample_gram=None if each is None else gram * sizes[:, None] * sizes,
        warnings=warnings,
    )


def check_eps(eps: float) -> None:
    """Raise ValueError unless eps is a number >= 0."""
    if not isinstance(eps, Real) or isinstance(eps, bool) or not eps >= 0:
        raise ValueError(
            f"eps must be a number >= 0, found {eps!r}; 0 leaves only exact zeros undefined"
        )


def inverse(scale: Any, device: torch.device) -> Tensor | float:
    """Return 1/scale, by which gradients of scaled losses are divided by their scale.

    Parameters
    ----------
    scale : None, number, Tensor of shape (), or GradScaler
        What the losses were multiplied by; None stands for 1. A GradScaler is asked for its scale
        on the device, so that nothing waits.
    device : torch.device

    Raises
    ------
    ValueError
        If scale is none of these, or not positive; on another device than the CPU that is not
        looked at, so that nothing waits.
    """
    if scale is None:
        return 1.0
    if callable(getattr(scale, "scale", None)):
        scale = scale.scale(torch.ones((), device=device))
    if isinstance(scale, Tensor) and scale.numel() == 1 and scale.is_floating_point():
        if scale.device.type != "cpu":
            return 1 / scale.detach().reshape(()).to(device, widest(device))
        scale = float(scale.detach())
    if isinstance(scale, Real) and not isinstance(scale, bool) and 0 < float(scale) < math.inf:
        return 1 / float(scale)
    raise ValueError(
        "scale must be a positive number, a scalar tensor or a GradScaler, found "
        f"{scale if isinstance(scale, Real) else type(scale).__name__!r}"
    )


def dense(gradient: Tensor) -> Tensor:
    """Return the gradient as it is, or densely where it is sparse, as an embedding's may be."""
    return gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()


def _block(like, count):
    """Entries of each loss's gradient to widen at a time."""
    size = _BLOCK_BYTES.get(like.device.type, _BLOCK_BYTES_ELSEWHERE)
    return size // (count * torch.finfo(widest(like.device)).bits // 8)
