"""Conditional mutual information, in nats: one verb, and the table of its methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine, nearest
from pnpfuse_analysis.samples import (
    Array,
    as_labels,
    holds_labels,
    rounding,
    standard_columns,
    widest,
)

from . import kraskov
from .bends import bend_notes
from .conditional_nce import ConditionalNCE
from .copula import BLIND, MONOTONE, whitened_scores
from .estimate import Estimate
from .gaussian import LINEAR, gaussian_information, residual, tail_notes, whitened
from .inference import Interval, estimated
from .mutual import METHODS as PAIR_METHODS
from .problem import (
    COUNTED,
    Problem,
    Settings,
    as_parts,
    chosen_method,
    constant_notes,
    few_samples_note,
    filled_dimensions,
    number_notes,
    same_rows,
    storage_notes,
    ties_note,
    varies,
)

Method = Callable[[Array, Array, Array, Settings], Problem]

# Neighbours in z among which the null exchanges x; Runge recommends 5 to 10.
_EXCHANGE = 5

# A class of 10 times 2^d samples reads a tenth to a sixth low (0.7 nats, d = 2 ... 6 dimensions in
# all); smaller ones read lower.
_CLASS = 10


def conditional_mutual_information(
    x: Array,
    y: Array,
    z: Array,
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
    """Return I(x; y | z): what x and y tell of each other once z is known.

    Parameters
    ----------
    x, y : Tensor or ndarray, shape (N,) or (N, d_x) and (N, d_y)
        Independent samples, on one device; computed in float64.
    z : Tensor or ndarray, shape (N,) or (N, d_z)
        What is given. Whole numbers, booleans or strings are labels: the value is then the mean
        over samples of the information within their class.
    method : str or callable
        "gaussian": from partial canonical correlations, with the exact Wishart correction: z is
        taken out of x and y as far as it is linear. Where both bend with z (x and y noisy copies of
        z^2) what is left counts as information, and stands out from the null too. A warning says so
        if, by an F test, means of both differ among quantile bins of a column of z; what only
        several columns of z show together it does not see. "copula": the same of normal scores.
        "ksg": Frenzel and Pompe, Phys. Rev. Lett. 99 (2007) 204101; reads low where x, y and z
        have more than a few dimensions in all. "label": "ksg" within classes; z must be labels.
        "discrete": all three labels, from counts with the Miller-Madow correction.
        "cnce": from trained critics, held out; see `ConditionalNCE`.
    k, standardise, engine, chunk, ci, sweep, generator
        As in `mutual_information`.
    null : int
        Number of permutations behind `null_mean` and `p_value`. Each exchanges x among near
        neighbours in z, or within a class, so that the dependence on z stays: Runge, AISTATS 2018,
        arXiv:1709.01447. A value that is too high because z was not all taken out is no less
        significant for it.

    Returns
    -------
    Estimate
        Not clipped.

    Raises
    ------
    ValueError
        As `mutual_information`; if no class of z has enough samples.
    """
    settings = Settings(k, "max", standardise, engine, chunk, generator).checked()
    pose = chosen_method(method, METHODS, "x, y, z, settings")
    problem = pose(x, y, z, settings)
    return estimated(problem, ci=ci, null=null, sweep=sweep, generator=settings.generator)


def _gaussian(x: Array, y: Array, z: Array, settings: Settings) -> Problem:
    return _linear(x, y, z, settings, "gaussian", whitened)


def _copula(x: Array, y: Array, z: Array, settings: Settings) -> Problem:
    found = _linear(x, y, z, settings, "copula", whitened_scores)
    return replace(found, notes=tuple(dict.fromkeys((*found.notes, BLIND))))


def _linear(x: Array, y: Array, z: Array, settings: Settings, method: str, white) -> Problem:
    """From partial canonical correlations of what `white` makes of x, y and z."""
    if holds_labels(z, "z"):
        return _within_classes(x, y, z, settings, method)
    named = {"x": x, "y": y, "z": z}
    parts = as_parts(named, continuous=False)
    steps = [rounding(one) for one in named.values()]
    d = sum(part.shape[1] for part in parts)

    def measure(*rows: Tensor) -> Tensor:
        a, b, given = map(white, rows, steps, "xyz")
        return gaussian_information(residual(a, given), residual(b, given), given.z.shape[1])

    def remarks(local: Tensor) -> tuple[str, ...]:
        a, b, given = map(white, parts, steps, "xyz")
        return bend_notes(residual(a, given).z, residual(b, given).z, parts[2])

    tied = dict(zip(named, parts, strict=True))
    return Problem(
        tuple(parts),
        measure,
        method,
        d,
        d,
        "d_x + d_y + d_z",
        tie_fraction=ties_note(parts)[0],
        notes=constant_notes({"x": tied["x"], "y": tied["y"]})
        + number_notes({"x": x, "y": y})
        + storage_notes(named)
        + (tail_notes(tied) if method == "gaussian" else ()),
        remarks=remarks,
        sees=LINEAR if method == "gaussian" else MONOTONE,
        unlink=_exchange_near,
    )


def _ksg(x: Array, y: Array, z: Array, settings: Settings) -> Problem:
    if holds_labels(z, "z"):
        return _within_classes(x, y, z, settings, "ksg")
    named = {"x": x, "y": y, "z": z}
    raw = as_parts(named)
    parts = [standard_columns(part) for part in raw] if settings.scale else raw
    k = settings.k
    share, ties = ties_note(raw, COUNTED)

    def measure(a: Tensor, b: Tensor, given: Tensor) -> Tensor:
        if not (varies(a) and varies(b)):
            return a.new_zeros(len(a))
        return kraskov.ksg_conditional(a, b, given, k, settings.engine, settings.chunk)

    return Problem(
        tuple(parts),
        measure,
        "ksg",
        sum(part.shape[1] for part in raw),
        k,
        "k",
        ceiling=kraskov.ksg_ceiling(len(raw[0]), k, share > 0),
        tie_fraction=share,
        notes=constant_notes({"x": raw[0], "y": raw[1]})
        + storage_notes(named)
        + ties
        + few_samples_note(len(raw[0]), k),
        unlink=_exchange_near,
    )


def _label(x: Array, y: Array, z: Array, settings: Settings) -> Problem:
    as_labels(z, "z")
    return _within_classes(x, y, z, settings, "ksg")


def _discrete(x: Array, y: Array, z: Array, settings: Settings) -> Problem:
    as_labels(z, "z")
    return _within_classes(x, y, z, settings, "discrete")


METHODS: dict[str, Method] = {
    "gaussian": _gaussian,
    "copula": _copula,
    "ksg": _ksg,
    "label": _label,
    "discrete": _discrete,
    "cnce": ConditionalNCE(),
}


def _within_classes(x: Array, y: Array, z: Array, settings: Settings, method: str) -> Problem:
    """I(x; y | z) = sum_c p(c) I(x; y | z = c) for labels z."""
    whole = PAIR_METHODS[method](x, y, settings)
    a, b = whole.parts
    labels = as_labels(z, "z").to(a.device)
    same_rows({"x": a, "y": b, "z": labels})
    count = torch.unique(labels, return_counts=True)[1]
    small = count <= whole.least
    if bool(small.all()):
        raise ValueError(
            f"z must have a class of more than {whole.least} samples ({whole.least_name}="
            f"{whole.least}), found at most {int(count.max())}; merge classes or give more samples"
        )
    notes = whole.notes
    if bool(small.any()):
        notes += (
            f"{int(small.sum())} of {len(count)} classes of z have no more than {whole.least} "
            f"samples and count as 0 information ({int(count[small].sum())} of N={len(a)}).",
        )
    if method == "ksg":
        notes += _class_size_note(count, sum(map(filled_dimensions, (a, b))))

    def measure(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        local = torch.zeros(len(a), dtype=widest(a.device), device=a.device)
        for code in labels.unique():
            rows = (labels == code).nonzero()[:, 0]
            if len(rows) <= whole.least:
                continue
            pair = a[rows], b[rows]
            if settings.scale and method == "ksg":
                # The classes may lie far apart: what counts is the spread within each.
                pair = standard_columns(pair[0]), standard_columns(pair[1])
            local[rows] = whole.measure(*pair)
        return local

    return replace(
        whole,
        parts=(a, b, labels),
        measure=measure,
        method=f"{method} within classes",
        ceiling=None,
        notes=notes,
        unlink=_exchange_within,
    )


def _class_size_note(count: Tensor, filled: float) -> tuple[str, ...]:
    """A warning if classes of so many samples (K,) are too small for the dimensions filled."""
    typical = float(count.double().square().sum() / count.sum())
    needed = _CLASS * 2 ** min(filled, 30)
    if typical >= needed:
        return ()
    return (
        f"A sample's class has {typical:.0f} samples on average, in which neighbours in about "
        f"{filled:.0f} dimensions are far apart: below some {needed:.0f} the value reads low. "
        "Merge classes, or compare with method='gaussian'.",
    )


def _exchange_near(parts: Sequence[Tensor], order: Tensor) -> tuple[Tensor, ...]:
    """The parts with each x taken from a near neighbour in z, each at most once where possible."""
    x, *rest = parts
    # Equal values of z are told apart by chance.
    lot = 1e-9 * order.to(x)[:, None] / len(order)
    z = torch.cat((standard_columns(rest[-1]), lot), 1)
    near = nearest(z, min(_EXCHANGE, len(z) - 1), metric="max").indices
    # Each sample's list in an order of its own, which the same permutation supplies.
    turn = order.to(near.device)[:, None] % near.shape[1]
    lists = near.gather(1, (torch.arange(near.shape[1], device=near.device) + turn) % near.shape[1])
    choices, taken, source = lists.tolist(), set(), [0] * len(z)
    for i in order.tolist():
        source[i] = next((j for j in choices[i] if j not in taken), choices[i][0])
        taken.add(source[i])
    return (x[torch.tensor(source, device=x.device)], *rest)


def _exchange_within(parts: Sequence[Tensor], order: Tensor) -> tuple[Tensor, ...]:
    """The parts with x in a random order within each class of z."""
    x, *rest = parts
    labels = rest[-1]
    shuffled = order[labels[order].argsort(stable=True)]
    source = torch.empty_like(order)
    source[labels.argsort(stable=True)] = shuffled
    return (x[source], *rest)
