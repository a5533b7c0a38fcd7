"""From an estimation problem to an estimate: intervals, null, drift with the sample size."""

from __future__ import annotations

import math
from typing import Literal

import torch

from pnpfuse_analysis.samples import check_choice, check_count, seeded

from .estimate import Estimate
from .problem import Problem
from .resampling import (
    SPLITS,
    local_interval,
    permutation_null,
    size_sweep,
    split_interval,
    subsample_interval,
)

Interval = Literal["subsample", "local", "splits"]


def estimated(
    problem: Problem,
    *,
    ci: Interval | None = None,
    null: int = 0,
    sweep: int = 0,
    generator: torch.Generator | None = None,
    signed: bool = False,
) -> Estimate:
    """Return the estimate of a problem.

    Parameters
    ----------
    problem : Problem
    ci : {None, "subsample", "local", "splits"}
        95 % interval: from half-samples without replacement; free from the spread of the local
        values; or from disjoint parts.
    null : int
        Number of permutations behind `null_mean` and `p_value`.
    sweep : int
        How often to halve the sample size for `n_sweep`.
    generator : torch.Generator or None
        Source of subsamples and permutations; None takes one of seed 0.
    signed : bool
        The true quantity may be negative: say nothing if the estimate is.

    Raises
    ------
    ValueError
        If an option is unknown, or a resample would not have enough samples for the estimator.
    """
    generator = seeded(generator)
    check_choice(ci, "ci", (None, "subsample", "local", "splits"))
    check_count(null, "null", 0)
    check_count(sweep, "sweep", 0)
    _check_size(problem, ci, sweep)
    local = problem.measure(*problem.parts)
    if ci == "local" and not local.ndim:
        raise ValueError(
            f"ci='local' needs the local values that {problem.method!r} does not have; "
            "use ci='subsample'"
        )
    value = float(local.mean())
    notes = [*problem.notes, *problem.remarks(local), *_value_notes(problem, value, signed)]
    stderr, interval = local_interval(local, value)
    if ci in ("subsample", "splits") and math.isfinite(value):
        resampled = subsample_interval if ci == "subsample" else split_interval
        stderr, interval = resampled(problem.measure, problem.parts, value, generator)
        if stderr is None:
            notes.append("Some resamples have no finite estimate, so there is no interval.")
    null_mean, p_value = (
        permutation_null(problem.measure, problem.parts, value, null, generator, problem.unlink)
        if null
        else (None, None)
    )
    trend = size_sweep(problem.measure, problem.parts, value, sweep, generator) if sweep else None
    if trend is not None and stderr is not None and abs(trend[1][1] - value) > 2 * stderr:
        notes.append(
            f"The value drifts with the sample size ({trend[1][1]:.3g} at n={trend[1][0]}, "
            f"{value:.3g} at n={trend[0][0]}), so bias is left that no interval covers."
        )
    return Estimate(
        value=value,
        n=len(problem.parts[0]),
        d=problem.d,
        method=problem.method,
        stderr=stderr,
        ci=interval if ci else None,
        null_mean=null_mean,
        p_value=p_value,
        n_sweep=trend,
        local=local if local.ndim else None,
        kind=problem.kind,
        ceiling=problem.ceiling,
        tie_fraction=problem.tie_fraction,
        warnings=tuple(notes),
    )


def _value_notes(problem, value, signed):
    """What a value says by itself, in whole sentences."""
    if value == math.inf:
        yield "The value is infinite: one variable determines a part of the other."
    if value == -math.inf and problem.d:
        yield (
            f"Some samples have {problem.least_name}={problem.least} or more exact copies, so the "
            "estimate is -inf."
        )
    if problem.ceiling is not None and value > 0.9 * problem.ceiling and not problem.tight:
        yield (
            f"The value is near the ceiling {problem.ceiling:.3g} nats of this method and sample "
            "size; the truth may be any larger number."
        )
    if value < 0 and not signed:
        yield f"The value is negative by chance or bias: no {problem.sees} was found."


def _check_size(problem, ci, sweep):
    """Raise ValueError unless all samples, and the smallest resamples, are enough."""
    n = len(problem.parts[0])
    shares = {None: 1, "local": 1, "subsample": 2, "splits": SPLITS[-1]}
    share = max(shares[ci], 2**sweep)
    if n // share <= problem.least:
        where = "" if share == 1 else f" in each 1/{share} of them that ci and sweep look at"
        raise ValueError(
            f"{problem.least_name}={problem.least} asks for more than {problem.least} samples"
            f"{where}, found {n // share} (N={n}); give more samples or lower {problem.least_name}"
        )
