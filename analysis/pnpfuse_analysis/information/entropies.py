"""Differential entropy of continuous features, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine, Metric
from pnpfuse_analysis.samples import Array, as_samples, rounding

from . import discrete
from .estimate import Estimate
from .gaussian import gaussian_entropy, tail_notes, whitened
from .histogram import Histogram
from .inference import Interval, estimated
from .kraskov import kl_entropy
from .problem import Problem, Settings, chosen_method, flat_note, storage_notes, ties_note
from .renyi import Renyi

Method = Callable[[Array, Settings], Problem]

# Dimensions up to which nearest-neighbour entropy is good to some tenths of a nat.
_MOST_DIMENSIONS = 6


def entropy(
    x: Array,
    *,
    method: str | Method | Histogram | Renyi = "kl",
    k: int = 3,
    metric: Metric = "l2",
    whiten: bool = True,
    engine: Engine = "auto",
    chunk: int | None = None,
    ci: Interval | None = None,
    sweep: int = 0,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Return the entropy of samples: differential, unless `method` says otherwise.

    Parameters
    ----------
    x : Tensor or ndarray, shape (N,) or (N, d)
        Independent samples of a continuous variable, on any device; computed in float64.
    method : str or callable
        "kl": Kozachenko and Leonenko, Probl. Inf. Transm. 23 (1987) 95, in the form of Kraskov et
        al., Phys. Rev. E 69 (2004) 066138, Eq. (20): psi(N) - psi(k) + log c_d + d <log eps_k>.
        It reads too high where the density ends at a boundary (uniform, d = 4, N = 2000: +0.24) and
        in many dimensions (Gaussian, d = 16: +0.48).
        "gaussian": the entropy of a Gaussian of the same covariance, with the exact Wishart
        correction: an upper bound for any other distribution.
        "histogram": binned counts, up to four columns; see `Histogram`.
        "discrete": of labels (whole numbers, booleans, NumPy strings), from counts with the
        Miller-Madow correction.
        "renyi": of a kernel matrix, between 0 and log N; see `Renyi`.
        An instance such as `Histogram(bins=20)`, or a function of your own that takes (x,
        settings) and returns a `Problem`, stands for itself.
    k : int
        Neighbour used by "kl".
    metric : {"l2", "max"}
        Distance used by "kl".
    whiten : bool
        For "kl": estimate in coordinates of unit covariance and add 1/2 log|S| back. Without it,
        directions of little spread are lost.
    engine, chunk
        See `pnpfuse_analysis.neighbours.nearest`.
    ci : {None, "subsample", "local", "splits"}
        95 % interval, see `mutual_information`; it does not cover bias.
    sweep : int
        How often to halve the sample size for `Estimate.n_sweep`; 2 gives N, N/2 and N/4.
    generator : torch.Generator or None
        Source of the subsamples; None takes one of seed 0.

    Returns
    -------
    Estimate
        Of kind "upper_bound" for "gaussian". Where x does not fill its d dimensions (a constant
        column, or with `whiten` linearly dependent ones) its entropy is -inf; the value is then
        that of the subspace it does fill, of dimension `Estimate.d`, and a warning says so. The
        value is -inf where no dimension is filled, or where some sample has k exact copies.

    Raises
    ------
    ValueError
        On wrong shapes, non-finite values, k >= N, N <= d with whitening or "gaussian", integer
        dtypes for "kl", or an unknown option.
    """
    if isinstance(method, Histogram | Renyi):
        method = method.entropy
    pose = chosen_method(method, METHODS, "x, settings")
    settings = Settings(k, metric, whiten, engine, chunk, generator).checked("whiten")
    problem = pose(x, settings)
    return estimated(problem, ci=ci, sweep=sweep, generator=settings.generator, signed=True)


def _kl(x: Array, settings: Settings) -> Problem:
    samples = as_samples(x, "x")
    k = settings.k
    if len(samples) <= k:
        z, log_volume = samples, 0.0  # too few, which `estimated` says in its own words
    elif settings.scale:
        z, log_volume, _ = whitened(samples, rounding(x))
    else:
        z, log_volume = samples[:, samples.amax(0) > samples.amin(0)], 0.0

    def measure(part: Tensor) -> Tensor:
        if not part.shape[1]:
            return part.new_full((len(part),), -math.inf)
        local = kl_entropy(part, k, settings.metric, settings.engine, settings.chunk)
        return local + log_volume

    share, ties = ties_note([samples])
    return Problem(
        (z,),
        measure,
        "kl",
        z.shape[1],
        k,
        "k",
        tie_fraction=share,
        notes=flat_note(z.shape[1], samples.shape[1])
        + storage_notes({"x": x})
        + ties
        + _wide_note(z.shape[1]),
    )


def _wide_note(d: int) -> tuple[str, ...]:
    """A warning if neighbours in d dimensions lie too far apart for the density between them."""
    if d <= _MOST_DIMENSIONS:
        return ()
    return (
        f"In {d} dimensions neighbours are far apart and the value often reads high, by more than "
        "its standard error (N=1000: uniform in 8 dimensions +1.2; Gaussian in 16 +0.7, in 64 +9). "
        "Compare with method='gaussian', an upper bound.",
    )


def _gaussian(x: Array, settings: Settings) -> Problem:
    samples = as_samples(x, "x", continuous=False)
    d = samples.shape[1]
    if len(samples) <= d:
        z, log_volume = samples, 0.0
    else:
        z, log_volume, _ = whitened(samples, rounding(x))
    rank = z.shape[1]

    def measure(part: Tensor) -> Tensor:
        again = whitened(part, 0.0)
        if not rank or again.z.shape[1] < rank:
            return part.new_full((len(part),), -math.inf)
        return gaussian_entropy(again) + log_volume

    share, _ = ties_note([samples])
    notes = (
        flat_note(z.shape[1], samples.shape[1])
        + storage_notes({"x": x})
        + tail_notes({"x": samples})
    )
    return Problem((z,), measure, "gaussian", rank, d, "d", "upper_bound", None, share, notes)


METHODS: dict[str, Method] = {
    "kl": _kl,
    "gaussian": _gaussian,
    "histogram": Histogram().entropy,
    "discrete": discrete.entropy_problem,
    "renyi": Renyi().entropy,
}
