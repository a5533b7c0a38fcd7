"""The record in which every entropy and information estimate comes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, SupportsFloat

from torch import Tensor

Kind = Literal["estimate", "lower_bound", "upper_bound"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimated entropy or information, with what is needed to trust or distrust it.

    `float(found)`, `f"{found:.3f}"`, `found < other` and `found > other` go by the value; for
    arithmetic take `found.value`. Two estimates are never equal, but for one and the same.

    Attributes
    ----------
    value : float
        The estimate in nats. Never clipped: a mutual information may come out below zero.
    stderr : float or None
        Sampling standard error in nats: from half-samples if those were asked for, else from the
        spread of the local values, which is some 15 % small for nearest-neighbour methods. None
        where the local values are not finite. It knows nothing of bias.
    ci : (float, float) or None
        95 % interval for the sampling error, if one was asked for. It does not cover bias either.
    null_mean, p_value : float or None
        Mean over permuted samples, and the one-sided p-value (1 + #{null >= value}) / (1 + null).
    n_sweep : tuple of (int, float), or None
        (n, estimate) at N, N/2, N/4 ..., if asked for: where it drifts, bias is left.
    local : Tensor of shape (N,) or None
        Contribution of each sample in nats, float64, on the device of the input; its mean is
        `value`, but for a bias correction, which is spread evenly. None for a method without.
    n, d : int
        Number of samples, and number of dimensions used (for mutual information d_x + d_y).
    units : str
        Always "nats"; `bits` converts.
    method : str
        The estimator.
    kind : {"estimate", "lower_bound", "upper_bound"}
        What the value is, in expectation, with respect to the true quantity.
    ceiling : float or None
        The largest value that the method can return for this sample, in nats.
    tie_fraction : float
        Share of samples with an exact copy among the others, which a continuous density forbids.
    warnings : tuple of str
        What the reader of the value has to know, in whole sentences.
    """

    value: float
    n: int
    d: int
    method: str
    stderr: float | None = None
    ci: tuple[float, float] | None = None
    null_mean: float | None = None
    p_value: float | None = None
    n_sweep: tuple[tuple[int, float], ...] | None = None
    local: Tensor | None = None
    units: str = "nats"
    kind: Kind = "estimate"
    ceiling: float | None = None
    tie_fraction: float = 0.0
    warnings: tuple[str, ...] = ()

    def __float__(self) -> float:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)

    def __lt__(self, other: SupportsFloat) -> bool:
        return self.value < float(other)

    def __le__(self, other: SupportsFloat) -> bool:
        return self.value <= float(other)

    def __gt__(self, other: SupportsFloat) -> bool:
        return self.value > float(other)

    def __ge__(self, other: SupportsFloat) -> bool:
        return self.value >= float(other)

    @property
    def bits(self) -> float:
        """The value in bits."""
        return self.value / math.log(2.0)

    def __repr__(self) -> str:
        parts = [f"{self.value:.4g} {self.units}"]
        if self.stderr is not None:
            parts[0] += f" ± {self.stderr:.2g}"
        if self.ci is not None:
            parts.append(f"95% [{self.ci[0]:.4g}, {self.ci[1]:.4g}]")
        if self.p_value is not None:
            null = "" if self.null_mean is None else f"null {self.null_mean:.2g}, "
            parts.append(f"{null}p={self.p_value:.2g}")
        parts.append(f"{self.kind.replace('_', ' ')} by {self.method}, n={self.n}, d={self.d}")
        if self.warnings:
            parts.append(f"{len(self.warnings)} warning{'s'[: len(self.warnings) > 1]}")
        return f"Estimate({'; '.join(parts)})"
