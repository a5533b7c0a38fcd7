"""Entropy and mutual information of labels, from counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, as_labels, widest

from .problem import Problem, Settings, same_rows


def discrete_entropy(codes: Tensor) -> Tensor:
    """Return the entropy of labels (N,): local values (N,), nats.

    -log of each label's share, plus (K - 1) / 2N for K labels seen: the leading bias of the plug-in
    value. Miller, in Information Theory in Psychology (Free Press, 1955) 95.
    """
    count = torch.bincount(codes).to(widest(codes.device))
    n, seen = len(codes), count.sign().sum()
    return math.log(n) - count[codes].log() + (seen - 1) / (2 * n)


def discrete_information(x: Tensor, y: Tensor) -> Tensor:
    """Return the information between labels (N,) and (N,): local values (N,), nats.

    H(x) + H(y) - H(x, y), each as in `discrete_entropy`.
    """
    return discrete_entropy(x) + discrete_entropy(y) - discrete_entropy(joint_codes([x, y]))


def most_entropy(n: int, labels: int | None = None) -> float:
    """Return the largest `discrete_entropy` of n samples, if of no more than so many labels.

    It is the largest `discrete_information` too, for labels on the poorer side: the counted value
    is at most the smaller entropy, and (x, y) takes no fewer values than the richer of both.
    """
    seen = min(n, labels or n)
    return math.log(seen) + (seen - 1) / (2 * n)


def joint_codes(parts: list[Tensor]) -> Tensor:
    """Return one code (N,), below N, for each row of several codes (N,)."""
    joint, *rest = parts
    for codes in rest:
        # Codes are below N, so that no product of two overflows.
        joint = torch.unique(joint * (codes.max() + 1) + codes, return_inverse=True)[1]
    return joint


def entropy_problem(x: Array, settings: Settings) -> Problem:
    """Return the problem of the entropy of labels."""
    codes = as_labels(x, "x")
    return Problem(
        (codes,),
        discrete_entropy,
        "discrete",
        1,
        ceiling=most_entropy(len(codes)),
        notes=scarcity_note(codes, "x"),
    )


def information_problem(x: Array, y: Array, settings: Settings) -> Problem:
    """Return the problem of the information between labels."""
    a, b = as_labels(x, "x"), as_labels(y, "y")
    parts = same_rows({"x": a, "y": b})
    return Problem(
        tuple(parts),
        discrete_information,
        "discrete",
        2,
        ceiling=most_entropy(len(a)),
        notes=scarcity_note(joint_codes(parts), "(x, y)"),
    )


def scarcity_note(codes: Tensor, name: str) -> tuple[str, ...]:
    """A warning if many of the labels (N,) were seen once, so that as many are unseen yet.

    The share of samples seen once estimates the probability of what was never seen: Good,
    Biometrika 40 (1953) 237.
    """
    count = torch.bincount(codes)
    share = float((count == 1).sum()) / len(codes)
    if share < 0.1:
        return ()
    return (
        f"{share:.0%} of the samples of {name} have a value of their own: too few repeats to "
        f"count, and the correction does not reach ({int((count > 0).sum())} values, "
        f"N={len(codes)}).",
    )
