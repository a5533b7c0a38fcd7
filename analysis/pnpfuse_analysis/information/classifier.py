"""Held-out losses of a small classifier, trained where the features are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pnpfuse_analysis.samples import seeded

from .resampling import random_order

Kind = Literal["linear", "mlp"]
Parameters = Sequence[Tensor]

# Strong to weak: each fit of a linear classifier starts from the one before.
_PENALTIES = {
    "linear": [10 ** (-power / 2) for power in range(-2, 9)],
    "mlp": [10.0**-power for power in range(1, 5)],
}
_INNER_FOLDS = 3
_MANY = 3000
_HIDDEN = 32


def dealt_folds(
    codes: Tensor, groups: Tensor | None, folds: int, generator: torch.Generator
) -> Tensor:
    """Return a fold (N,) for each sample: classes (N,) evenly spread, or groups (N,) kept whole."""
    n = len(codes)
    order = random_order(n, generator, codes)
    fold = torch.empty_like(codes)
    if groups is None:
        by_class = order[codes[order].argsort(stable=True)]
        fold[by_class] = torch.arange(n, device=codes.device) % folds
        return fold
    # The largest group first, each to the fold that is smallest so far.
    sizes = torch.bincount(groups).tolist()
    first = random_order(len(sizes), generator, codes).tolist()
    filled, home = [0] * folds, [0] * len(sizes)
    for group in sorted(first, key=lambda one: -sizes[one]):
        home[group] = filled.index(min(filled))
        filled[home[group]] += sizes[group]
    return torch.tensor(home, device=codes.device)[groups]


def held_out_losses(
    codes: Tensor,
    features: Tensor,
    fold: Tensor,
    *,
    kind: Kind,
    penalty: float | None,
    groups: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return -log p(label) of each sample (N,) by a classifier that has not seen its fold.

    Parameters
    ----------
    codes : Tensor of int64, shape (N,)
        Labels 0 ... K - 1.
    features : Tensor, shape (N, d)
        At unit spread.
    fold : Tensor of int64, shape (N,)
        From `dealt_folds`.
    kind : {"linear", "mlp"}
        Softmax of a linear map, or of one hidden layer of 32 tanh units.
    penalty : float or None
        Weight of |W|^2 / 2 beside the mean loss; None chooses it for each fold by a further cross
        validation on the other folds.
    groups : Tensor of int64, shape (N,), or None
        Kept whole in that cross validation too.
    generator : torch.Generator or None
        Source of the inner folds and of an mlp's first weights; None takes one of seed 0.
    """
    generator = seeded(generator)
    # Training needs autograd, whatever mode the caller is in.
    with torch.inference_mode(False), torch.enable_grad():
        codes, features = codes.clone(), _compact(features.clone())
        classes = int(codes.max()) + 1
        losses = features.new_zeros(len(codes))
        start = _start(kind, features, classes, generator)
        for one in fold.unique():
            train, test = fold != one, fold == one
            rows = features[train], codes[train]
            chosen = penalty
            if chosen is None:
                kept = None if groups is None else groups[train]
                chosen = _chosen_penalty(*rows, kept, kind, start, generator)
            found = _fitted(start, *rows, chosen, 1e-6)
            losses[test] = _losses(found, features[test], codes[test], int(train.sum()))
    return losses


def _compact(x: Tensor) -> Tensor:
    """Samples (N, d) with d > N turned into their own span: the penalty does not see the turn."""
    if x.shape[1] <= len(x):
        return x
    values, vectors = torch.linalg.eigh(x @ x.T)
    return vectors * values.clamp(min=0).sqrt()


def _start(kind, features, classes, generator) -> Parameters:
    """First weights (in, out) and biases (out,), layer by layer; a linear map starts from 0."""
    d = features.shape[1]
    if kind == "linear":
        return [features.new_zeros(d, classes), features.new_zeros(classes)]
    device = generator.device
    drawn = torch.randn(d, _HIDDEN, generator=generator, device=device, dtype=features.dtype)
    out = torch.randn(_HIDDEN, classes, generator=generator, device=device, dtype=features.dtype)
    return [
        (drawn / math.sqrt(d)).to(features.device),
        features.new_zeros(_HIDDEN),
        (out / math.sqrt(_HIDDEN)).to(features.device),
        features.new_zeros(classes),
    ]


def _log_shares(parameters: Parameters, x: Tensor) -> Tensor:
    """Log-probability of each class: (N, d) -> (N, K)."""
    weight, bias = parameters[:2]
    x = x @ weight + bias
    for weight, bias in zip(parameters[2::2], parameters[3::2], strict=True):
        x = x.tanh() @ weight + bias
    return x.log_softmax(1)


def _fitted(
    start: Parameters, x: Tensor, codes: Tensor, penalty: float, tolerance: float
) -> Parameters:
    """The parameters of least penalised loss, by L-BFGS down to a largest slope."""
    parameters = [one.clone().requires_grad_() for one in start]
    search = torch.optim.LBFGS(
        parameters,
        max_iter=100,
        tolerance_grad=tolerance,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        square = torch.stack([one.square().sum() for one in parameters[::2]]).sum()
        fit = torch.nn.functional.nll_loss(_log_shares(parameters, x), codes)
        total = fit + penalty / 2 * square
        total.backward()
        return total

    search.step(closure)
    return [one.detach() for one in parameters]


def _losses(parameters: Parameters, x: Tensor, codes: Tensor, seen: int) -> Tensor:
    """Loss of each sample (N,) under the classifier, mixed with 1 / (seen + 1) of equal shares.

    The admixture stands for the class or the outlier that training had no sample of: without it,
    one such sample could cost any amount.
    """
    shares = _log_shares(parameters, x)
    floor = torch.full_like(shares, -math.log((seen + 1) * shares.shape[1]))
    mixed = torch.logaddexp(shares + math.log(seen / (seen + 1)), floor)
    return -mixed.gather(1, codes[:, None])[:, 0]


def _chosen_penalty(x, codes, groups, kind: Kind, start: Parameters, generator) -> float:
    """The penalty of least held-out loss within the training samples."""
    inner = dealt_folds(codes, groups, _INNER_FOLDS, generator)
    # One fold will do where a third of the samples is many, and for an mlp, whose fits cost more.
    tries = range(_INNER_FOLDS if kind == "linear" and len(codes) < _MANY else 1)
    state = [start for _ in tries]
    best, chosen, worse = math.inf, _PENALTIES[kind][0], 0
    for penalty in _PENALTIES[kind]:
        total = 0.0
        for i in tries:
            train, test = inner != i, inner == i
            if not bool(train.any()):  # all one group: nothing to choose by
                continue
            found = _fitted(state[i], x[train], codes[train], penalty, 1e-4)
            total += float(_losses(found, x[test], codes[test], int(train.sum())).sum())
            if kind == "linear":
                state[i] = found
        if total < best:
            best, chosen, worse = total, penalty, 0
        else:
            worse += 1
            if worse == 2:
                break
    return chosen
