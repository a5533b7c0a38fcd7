"""Mutual information between features, in nats: one verb, and the table of its methods."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine
from pnpfuse_analysis.samples import Array, rounding, standard_columns

from . import copula, discrete, labels
from .estimate import Estimate
from .gaussian import LINEAR, gaussian_information, tail_notes, whitened
from .histogram import Histogram
from .inference import Interval, estimated
from .kraskov import ksg_ceiling, ksg_information
from .probe import Probe
from .problem import (
    COUNTED,
    Method,
    Problem,
    Settings,
    as_parts,
    chosen_method,
    constant_notes,
    dimension_note,
    few_samples_note,
    number_notes,
    storage_notes,
    ties_note,
    varies,
)
from .reduction import reduced
from .renyi import Renyi
from .variational import Variational


def mutual_information(
    x: Array,
    y: Array,
    *,
    method: str | Method = "ksg",
    reduce: Literal["pca", "cca"] | None = None,
    components: int | None = None,
    k: int = 3,
    standardise: bool = True,
    engine: Engine = "auto",
    chunk: int | None = None,
    ci: Interval | None = None,
    null: int = 0,
    sweep: int = 0,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Return the mutual information between two variables.

    Parameters
    ----------
    x, y : Tensor or ndarray, shape (N,) or (N, d_x) and (N, d_y)
        Independent pairs of samples, on one device; computed in float64.
    method : str or callable
        For continuous variables:
        "ksg": the first estimator of Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69 (2004)
        066138, Eq. (8), with strict counts. Its bias is small up to about two intrinsic dimensions
        a side and strongly negative beyond (truth 2.30, 16 + 16 dimensions, N = 2000: 0.63).
        Repeated values, as the zeros of ReLU features, are counted as in "mixed".
        "gaussian": the information of a Gaussian of the same covariance, from canonical
        correlations, with the exact Wishart correction. Blind to non-linear dependence, useless
        for heavy tails. "copula": the same of normal scores, for any marginals.
        "histogram": binned counts, for up to four columns in all; see `Histogram`.
        "renyi": matrix-based, relative to broken pairs; see `Renyi`.
        For labels (whole numbers, booleans, NumPy strings):
        "label": labels in one of x and y, features in the other: Ross, PLoS ONE 9 (2014) e87357.
        "probe": the same as a lower bound, H(labels) less the held-out loss of a classifier: for
        features of many dimensions; see `Probe`. "discrete": labels in both, from counts with the
        Miller-Madow correction. "mixed": variables with ties or discrete parts: Gao et al., 2017.
        Lower bounds from trained critics, held out:
        "infonce", "nwj", "dv", "smile": see `Variational`.
        An instance such as `Histogram(bins=20)`, or a function of your own that takes (x, y,
        settings) and returns a `Problem`, stands for itself.
    reduce : {None, "pca", "cca"}
        Estimate after a linear reduction of both: to leading principal components (information
        can only be lost), or to canonical pairs fitted on one half of the samples and measured on
        the other, and the reverse, summed over pairs. See `pnpfuse_analysis.information.reduction`.
    components : int or None
        How many; None takes 2 for "pca", and as many as there are, but 16 at most, for "cca".
    k : int
        Neighbour used by nearest-neighbour methods.
    standardise : bool
        Bring each column to unit variance first. Information does not depend on scale,
        but distances do: with x in units 1e8 times those of y, the raw estimate of "ksg" is 0.
    engine : {"auto", "kdtree", "compiled", "brute"}
        See `pnpfuse_analysis.neighbours.nearest`; "auto" goes by d_x + d_y.
    chunk : int or None
        Rows to a block of brute force; None fits the block to a byte budget.
    ci : {None, "subsample", "local", "splits"}
        95 % interval: from half-samples without replacement (covers 97 % for "ksg" at N = 500);
        for free from the spread of the local values (85 to 89 %); or from disjoint parts (89 to
        92 %). None covers bias.
    null : int
        Number of permutations behind `null_mean` and `p_value`; 0 for none.
    sweep : int
        How often to halve the sample size for `Estimate.n_sweep`: a drift shows bias. 2 gives N,
        N/2 and N/4.
    generator : torch.Generator or None
        Source of subsamples, permutations and whatever a method draws. None takes one of seed 0
        that is made anew for each call, so that a call repeats itself; torch's global one is
        never drawn from.

    Returns
    -------
    Estimate
        Not clipped: independent variables give values around 0. "ksg" cannot exceed its `ceiling`
        psi(N) - psi(k), which it reaches at I(X; X) = inf (psi(N) - psi(1) if values repeat).

    Raises
    ------
    ValueError
        On wrong or different shapes, non-finite values, k >= N, N <= d_x or d_x + d_y for
        "gaussian", integer dtypes for "ksg", or an unknown option.
    """
    name = method if isinstance(method, str) else type(method).__name__
    method = chosen_method(method, METHODS, "x, y, settings")
    if reduce is not None or components is not None:
        method = reduced(method, name, reduce, components)
    settings = Settings(k, "max", standardise, engine, chunk, generator).checked()
    problem = method(x, y, settings)
    return estimated(problem, ci=ci, null=null, sweep=sweep, generator=settings.generator)


def _ksg(x: Array, y: Array, settings: Settings) -> Problem:
    raw = as_parts({"x": x, "y": y})
    named = dict(zip("xy", raw, strict=True))
    parts = [standard_columns(part) for part in raw] if settings.scale else raw
    k = settings.k
    share, ties = ties_note(raw, COUNTED)

    def measure(a: Tensor, b: Tensor) -> Tensor:
        # Neighbours of nothing but copies would be taken for certainty.
        if not (varies(a) and varies(b)):
            return a.new_zeros(len(a))
        return ksg_information(a, b, k, settings.engine, settings.chunk)

    return Problem(
        parts=tuple(parts),
        measure=measure,
        method="ksg",
        d=sum(part.shape[1] for part in raw),
        least=k,
        least_name="k",
        ceiling=ksg_ceiling(len(raw[0]), k, share > 0),
        tie_fraction=share,
        notes=constant_notes(named)
        + storage_notes({"x": x, "y": y})
        + ties
        + few_samples_note(len(raw[0]), k)
        + dimension_note(parts),
    )


def _gaussian(x: Array, y: Array, settings: Settings) -> Problem:
    parts = as_parts({"x": x, "y": y}, continuous=False)
    named = dict(zip("xy", parts, strict=True))
    steps = rounding(x), rounding(y)
    d = sum(part.shape[1] for part in parts)

    def measure(a: Tensor, b: Tensor) -> Tensor:
        return gaussian_information(whitened(a, steps[0], "x"), whitened(b, steps[1], "y"))

    return Problem(
        parts=tuple(parts),
        measure=measure,
        method="gaussian",
        d=d,
        least=d,
        least_name="d_x + d_y",
        tie_fraction=ties_note(parts)[0],
        notes=constant_notes(named)
        + number_notes({"x": x, "y": y})
        + storage_notes({"x": x, "y": y})
        + tail_notes(named),
        sees=LINEAR,
    )


METHODS: dict[str, Method] = {
    "ksg": _ksg,
    "gaussian": _gaussian,
    "copula": copula.information_problem,
    "histogram": Histogram(),
    "renyi": Renyi(),
    "label": labels.label_problem,
    "probe": Probe(),
    "discrete": discrete.information_problem,
    "mixed": labels.mixed_problem,
    "infonce": Variational("infonce"),
    "nwj": Variational("nwj"),
    "dv": Variational("dv"),
    "smile": Variational("smile"),
}
