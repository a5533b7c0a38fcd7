"""Mutual information of variables that are jointly Gaussian once their marginals are made so."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, rounding, tie_fraction

from .gaussian import Whitened, gaussian_information, whitened
from .problem import Problem, Settings, as_parts, constant_notes, number_notes, storage_notes

BLIND = (
    "The Gaussian copula sees what is monotone in each pair of coordinates: dependence by the size "
    "alone (y = x^2), by rings or by a common scale adds to the truth but not to the value."
)
MONOTONE = "monotone dependence, the only kind that this method sees,"


def normal_scores(x: Tensor) -> Tensor:
    """Return the columns of x (N, d) with each value replaced by the normal quantile of its rank.

    Phi^-1(rank / (N + 1)); equal values share their mean rank.
    """
    columns = x.T.contiguous()
    ordered = columns.sort(1).values
    below = torch.searchsorted(ordered, columns)
    up_to = torch.searchsorted(ordered, columns, right=True)
    rank = (below + up_to + 1).to(x) / 2
    return torch.special.ndtri(rank / (len(x) + 1)).T


def copula_information(x: Tensor, y: Tensor, steps: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Return the Gaussian-copula information of samples (N, d_x) and (N, d_y): local values (N,).

    The Gaussian information of the normal scores, in nats: Ince et al., Human Brain Mapping 38
    (2017) 1541. Whatever strictly monotone map each column goes through, the value is the same.
    `steps` are the relative rounding steps with which x and y were stored.
    """
    return gaussian_information(
        whitened_scores(x, steps[0], "x"), whitened_scores(y, steps[1], "y")
    )


def whitened_scores(x: Tensor, rounding: float, name: str = "x") -> Whitened:
    """Return the normal scores of x (N, d) whitened; arguments as in `whitened`."""
    # Two columns of one variable, rounded apart, may swap a few ranks: no direction of their own.
    return whitened(normal_scores(x), max(len(x) ** -1.5, rounding), name)


def information_problem(x: Array, y: Array, settings: Settings) -> Problem:
    """Return the problem of the information between x and y by their Gaussian copula."""
    parts = as_parts({"x": x, "y": y}, continuous=False)
    d = sum(part.shape[1] for part in parts)
    steps = rounding(x), rounding(y)
    columns = [column for part in parts for column in part.T]
    return Problem(
        tuple(parts),
        lambda a, b: copula_information(a, b, steps),
        "copula",
        d,
        d,
        "d_x + d_y",
        tie_fraction=max(tie_fraction(column[:, None]) for column in columns),
        notes=constant_notes(dict(zip("xy", parts, strict=True)))
        + number_notes({"x": x, "y": y})
        + storage_notes({"x": x, "y": y})
        + (BLIND,),
        sees=MONOTONE,
    )
