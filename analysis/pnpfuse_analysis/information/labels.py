"""Mutual information of labels and features, and of variables that are both at once."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, as_labels, as_samples, holds_labels, standard_columns

from . import kraskov
from .problem import (
    COUNTED,
    Problem,
    Settings,
    as_parts,
    constant_notes,
    dimension_note,
    few_samples_note,
    same_rows,
    storage_notes,
    ties_note,
    varies,
)

# Dimensions that features may fill for neighbours to tell some hundreds of samples' labels, and for
# counts within one radius in both variables to do so.
_MOST_FILLED = 8.5
_MOST_FILLED_MIXED = 4.5


def labels_and_features(x: Array, y: Array, method: str) -> tuple[Tensor, Tensor, tuple[str, str]]:
    """Return label codes (N,), features (N, d) and the names of both; x and y in either order.

    Raises
    ------
    ValueError
        Unless one of x and y holds labels and the other real numbers.
    """
    first = holds_labels(x, "x")
    if first == holds_labels(y, "y"):
        found = "labels in both" if first else "real numbers in both"
        mend = "method='discrete'" if first else "method='ksg', or pass labels.long()"
        raise ValueError(
            f"method={method!r} takes labels (whole numbers, booleans or strings) in one of x and "
            f"y and features in the other, found {found}; use {mend}"
        )
    names = ("x", "y") if first else ("y", "x")
    label, feature = (x, y) if first else (y, x)
    features = as_samples(feature, names[1])
    codes = as_labels(label, names[0]).to(features.device)
    same_rows(dict(zip(names, (codes, features), strict=True)))
    return codes, features, names


def label_problem(x: Array, y: Array, settings: Settings) -> Problem:
    """Return the problem of the information between labels and features, in either order.

    Ross, PLoS ONE 9 (2014) e87357.
    """
    labels, features, names = labels_and_features(x, y, "label")
    scaled = standard_columns(features) if settings.scale else features
    k = settings.k
    share, ties = ties_note([features], COUNTED)

    # Features last: they are what the permutation null shuffles.
    def measure(codes: Tensor, z: Tensor) -> Tensor:
        if not (varies(codes) and varies(z)):
            return z.new_zeros(len(z))
        found = kraskov.ross_information(codes, z, k, settings.engine, settings.chunk)
        # A label seen once has no neighbour of its kind: it counts as the mean of the others.
        local = found.mean().repeat(len(codes))
        _, which, count = torch.unique(codes, return_inverse=True, return_counts=True)
        local[count[which] > 1] = found
        return local

    return Problem(
        (labels, scaled),
        measure,
        "label",
        1 + features.shape[1],
        k,
        "k",
        ceiling=kraskov.ross_ceiling(labels),
        tight=True,
        tie_fraction=share,
        notes=constant_notes(dict(zip(names, (labels, features), strict=True)))
        + storage_notes({names[1]: {"x": x, "y": y}[names[1]]})
        + ties
        + small_classes_note(labels, k)
        + dimension_note([scaled], _MOST_FILLED, "method='probe'"),
    )


def mixed_problem(x: Array, y: Array, settings: Settings) -> Problem:
    """Return the problem of the information between variables with ties, or partly discrete.

    Gao, Kannan, Oh and Viswanath, NeurIPS 2017, arXiv:1709.06212.
    """
    raw = as_parts({"x": x, "y": y}, continuous=False)
    parts = [standard_columns(part) for part in raw] if settings.scale else raw
    k = settings.k

    def measure(a: Tensor, b: Tensor) -> Tensor:
        if not (varies(a) and varies(b)):
            return a.new_zeros(len(a))
        return kraskov.mixed_information(a, b, k, settings.engine, settings.chunk)

    return Problem(
        tuple(parts),
        measure,
        "mixed",
        sum(part.shape[1] for part in raw),
        k,
        "k",
        tie_fraction=ties_note(raw)[0],
        notes=constant_notes(dict(zip("xy", raw, strict=True)))
        + storage_notes({"x": x, "y": y})
        + few_samples_note(len(raw[0]), k)
        + dimension_note(parts, _MOST_FILLED_MIXED, "reduce='pca', or method='probe' for labels"),
    )


def small_classes_note(labels: Tensor, k: int) -> tuple[str, ...]:
    """A warning if some of the labels (N,) have too few samples for k neighbours."""
    count = torch.unique(labels, return_counts=True)[1]
    small = count <= k
    if not bool(small.any()):
        return ()
    return (
        f"{int(small.sum())} of {len(count)} labels have k={k} samples or fewer "
        f"({int(count[small].sum())} of N={len(labels)}), which is too few to see what sets them "
        "apart.",
    )
