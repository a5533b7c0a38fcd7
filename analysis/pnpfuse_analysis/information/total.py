"""Total correlation: how much several variables together fall short of independence, in nats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine
from pnpfuse_analysis.samples import Array, as_labels, rounding, standard_columns

from . import kraskov
from .copula import BLIND, MONOTONE, whitened_scores
from .discrete import discrete_entropy, joint_codes, most_entropy, scarcity_note
from .estimate import Estimate
from .gaussian import LINEAR, gaussian_information, tail_notes, whitened
from .inference import Interval, estimated
from .problem import (
    COUNTED,
    Problem,
    Settings,
    as_parts,
    chosen_method,
    few_samples_note,
    number_notes,
    same_rows,
    storage_notes,
    ties_note,
    varies,
)

Method = Callable[[Sequence[Array], Settings], Problem]


def total_correlation(
    xs: Sequence[Array],
    *,
    method: str | Method = "gaussian",
    k: int = 3,
    standardise: bool = True,
    engine: Engine = "auto",
    chunk: int | None = None,
    ci: Interval | None = None,
    null: int = 0,
    sweep: int = 0,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Return sum_i H(x_i) - H(x_1, ..., x_M), which is the mutual information for M = 2.

    Parameters
    ----------
    xs : sequence of two or more Tensor or ndarray, shapes (N,) or (N, d_i)
        Independent samples of M variables, on one device; computed in float64.
    method : str or callable
        "gaussian": sum of the informations between x_i and all before it, each with the exact
        Wishart correction. "copula": the same of normal scores.
        "ksg": Kraskov et al., Phys. Rev. E 69 (2004) 066138, Eq. (23).
        "discrete": of labels, from counts with the Miller-Madow correction.
    k, standardise, engine, chunk, ci, sweep, generator
        As in `mutual_information`.
    null : int
        Number of permutations behind `null_mean` and `p_value`; every variable is shuffled.

    Returns
    -------
    Estimate
        Not clipped; `Estimate.d` is the sum of the d_i.

    Raises
    ------
    ValueError
        As `mutual_information`; if xs is one array, or fewer than two.
    """
    if isinstance(xs, Tensor) or not isinstance(xs, Sequence) or len(xs) < 2:
        found = f"{len(xs)}" if isinstance(xs, list | tuple) else type(xs).__name__
        raise ValueError(
            f"xs must be a list of two or more arrays, one to a variable, found {found}; the "
            "columns of an array are list(x.T)"
        )
    settings = Settings(k, "max", standardise, engine, chunk, generator).checked()
    pose = chosen_method(method, METHODS, "xs, settings")
    problem = pose(xs, settings)
    return estimated(problem, ci=ci, null=null, sweep=sweep, generator=settings.generator)


def _gaussian(xs: Sequence[Array], settings: Settings) -> Problem:
    return _linear(xs, "gaussian", whitened)


def _copula(xs: Sequence[Array], settings: Settings) -> Problem:
    found = _linear(xs, "copula", whitened_scores)
    return replace(found, notes=(*found.notes, BLIND))


def _linear(xs: Sequence[Array], method: str, white) -> Problem:
    """From canonical correlations of each variable with those before, as `white` makes them."""
    named = _named(xs)
    parts = as_parts(named, continuous=False)
    steps = [rounding(x) for x in xs]
    d = sum(part.shape[1] for part in parts)

    def measure(*rows: Tensor) -> Tensor:
        local = rows[0].new_zeros(len(rows[0]))
        for i in range(1, len(rows)):
            before = white(torch.cat(rows[:i], 1), max(steps[:i]))
            local = local + gaussian_information(before, white(rows[i], steps[i]))
        return local

    tied = dict(zip(named, parts, strict=True))
    return Problem(
        tuple(parts),
        measure,
        method,
        d,
        d,
        "sum of d_i",
        tie_fraction=ties_note(parts)[0],
        notes=number_notes(named)
        + storage_notes(named)
        + (tail_notes(tied) if method == "gaussian" else ()),
        sees=LINEAR if method == "gaussian" else MONOTONE,
        unlink=_shuffled_apart,
    )


def _ksg(xs: Sequence[Array], settings: Settings) -> Problem:
    named = _named(xs)
    raw = as_parts(named)
    parts = [standard_columns(part) for part in raw] if settings.scale else raw
    k = settings.k
    share, ties = ties_note(raw, COUNTED)

    def measure(*rows: Tensor) -> Tensor:
        moving = [part for part in rows if varies(part)]
        if len(moving) < 2:
            return rows[0].new_zeros(len(rows[0]))
        return kraskov.ksg_total(moving, k, settings.engine, settings.chunk)

    return Problem(
        tuple(parts),
        measure,
        "ksg",
        sum(part.shape[1] for part in raw),
        k,
        "k",
        ceiling=(len(parts) - 1) * kraskov.ksg_ceiling(len(raw[0]), k, share > 0),
        tie_fraction=share,
        notes=storage_notes(named) + ties + few_samples_note(len(raw[0]), k),
        unlink=_shuffled_apart,
    )


def _discrete(xs: Sequence[Array], settings: Settings) -> Problem:
    named = {name: as_labels(x, name) for name, x in _named(xs).items()}
    parts = same_rows(named)

    def measure(*rows: Tensor) -> Tensor:
        local = -discrete_entropy(joint_codes(list(rows)))
        for codes in rows:
            local = local + discrete_entropy(codes)
        return local

    return Problem(
        tuple(parts),
        measure,
        "discrete",
        len(parts),
        ceiling=(len(parts) - 1) * most_entropy(len(parts[0])),
        notes=scarcity_note(joint_codes(parts), "xs together"),
        unlink=_shuffled_apart,
    )


METHODS: dict[str, Method] = {
    "gaussian": _gaussian,
    "copula": _copula,
    "ksg": _ksg,
    "discrete": _discrete,
}


def _named(xs):
    return {f"xs[{i}]": x for i, x in enumerate(xs)}


def _shuffled_apart(parts: Sequence[Tensor], order: Tensor) -> tuple[Tensor, ...]:
    """The parts, the i-th in the i-th power of an order: rows of different samples everywhere."""
    apart, power = [parts[0]], order
    for part in parts[1:]:
        apart.append(part[power])
        power = power[order]
    return tuple(apart)
