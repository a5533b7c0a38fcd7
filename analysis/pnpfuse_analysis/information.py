"""Mutual information between features, in nats: one verb, and the table of its methods."""

from __future__ import annotations

import torch
from torch import Tensor

from .estimate import Estimate
from .gaussian import gaussian_information, whitened
from .inference import Interval, estimated
from .kraskov import digamma, ksg_information
from .neighbours import Engine
from .problem import Method, Problem, Settings, as_parts, ties_note
from .samples import Array, check_choice, rounding, standardised
from .variational import Variational


def mutual_information(
    x: Array,
    y: Array,
    *,
    method: str | Method = "ksg",
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
        "ksg": the first estimator of Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69 (2004)
        066138, Eq. (8), with strict counts. Its bias is small up to about two intrinsic dimensions
        a side and strongly negative beyond (truth 2.30, 16 + 16 dimensions, N = 2000: 0.63).
        "gaussian": the information of a Gaussian of the same covariance, from canonical
        correlations, with the exact Wishart correction. Blind to non-linear dependence, useless
        for heavy tails.
    k : int
        Neighbour used by nearest-neighbour methods.
    standardise : bool
        Bring each column to unit variance first. Information does not depend on scale,
        but distances do: with x in units 1e8 times those of y, the raw estimate of "ksg" is 0.
    engine : {"auto", "kdtree", "brute"}
        See `pnpfuse_analysis.neighbours.nearest`; "auto" goes by d_x + d_y.
    chunk : int or None
        Rows to a block of brute force; None fits the block to a byte budget.
    ci : {None, "subsample", "local", "splits"}
        95 % interval: from half-samples without replacement; for free from the spread of the
        local values (narrow: it covers about 85 % for "ksg" at N = 500); or from disjoint parts
        (about 90 %). None covers bias.
    null : int
        Number of permutations behind `null_mean` and `p_value`; 0 for none.
    sweep : int
        How often to halve the sample size for `Estimate.n_sweep`: a drift shows bias. 2 gives N,
        N/2 and N/4.
    generator : torch.Generator or None
        Source of subsamples and permutations.

    Returns
    -------
    Estimate
        Not clipped: independent variables give values around 0. "ksg" cannot exceed its `ceiling`
        psi(N) - psi(k), which it reaches at I(X; X) = inf.

    Raises
    ------
    ValueError
        On wrong or different shapes, non-finite values, k >= N, N <= d_x or d_x + d_y for
        "gaussian", integer dtypes for "ksg", or an unknown option.
    """
    if not callable(method):
        check_choice(method, "method", tuple(METHODS))
        method = METHODS[method]
    settings = Settings(k, "max", standardise, engine, chunk, generator).checked()
    problem = method(x, y, settings)
    return estimated(problem, ci=ci, null=null, sweep=sweep, generator=generator)


def _ksg(x: Array, y: Array, settings: Settings) -> Problem:
    raw = as_parts({"x": x, "y": y})
    parts = [standard_columns(part) for part in raw] if settings.scale else raw
    k = settings.k
    share, ties = ties_note(raw)
    return Problem(
        parts=tuple(parts),
        measure=lambda a, b: ksg_information(a, b, k, settings.engine, settings.chunk),
        method="ksg",
        d=_dimensions(raw),
        least=k,
        least_name="k",
        ceiling=digamma(len(raw[0])) - digamma(k),
        tie_fraction=share,
        notes=_constant_notes(raw) + ties,
    )


def _gaussian(x: Array, y: Array, settings: Settings) -> Problem:
    parts = as_parts({"x": x, "y": y}, continuous=False)
    steps = rounding(x), rounding(y)
    d = _dimensions(parts)

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
        notes=_constant_notes(parts),
    )


METHODS: dict[str, Method] = {
    "ksg": _ksg,
    "gaussian": _gaussian,
    "infonce": Variational("infonce"),
    "nwj": Variational("nwj"),
    "dv": Variational("dv"),
    "smile": Variational("smile"),
}


def standard_columns(x: Tensor) -> Tensor:
    """Return the columns of x (N, d) that vary, at unit variance; one of zeros if none does."""
    columns = standardised(x)[0]
    return columns if columns.shape[1] else torch.zeros_like(x[:, :1])


def _dimensions(parts):
    return sum(part.shape[1] for part in parts)


def _constant_notes(parts):
    return tuple(
        f"{name} is constant, so the information is 0."
        for name, part in zip("xy", parts, strict=True)
        if not bool((part != part[0]).any())
    )
