"""Variational bounds of mutual information: trained critics, judged on held-out samples only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pnpfuse_analysis.samples import Array, check_choice, check_count, seeded, tie_fraction

from .bounds import drawn_log_mean, infonce, jensen_shannon, nwj, smile
from .copula import normal_scores
from .critics import ConcatenatedCritics, Critics, SeparableCritics
from .crossfit import Folds, batches, dealt, fit_critics, own_training
from .problem import Problem, Settings, as_parts, number_notes

# Held-out samples that are scored against each other; the ceiling of InfoNCE is its logarithm.
_BLOCK = 512


def _dv_value(scores: Tensor) -> Tensor:
    """The value (F,) of `dv`, without the contributions that only a standard error needs."""
    return scores.diagonal(dim1=-2, dim2=-1).mean(-1) - drawn_log_mean(scores)


def _jensen_shannon_value(scores: Tensor) -> Tensor:
    """The value (F,) of `jensen_shannon`."""
    return jensen_shannon(scores).mean(-1)


# What the critics of each bound are trained by and chosen by: values (F,) from scores (F, B, B).
# Gradients of the exponential bounds are noisy and biased in small batches, and the clipped "smile"
# would let the scores of true pairs grow without end. Of all critics f + c, "nwj" is largest for
# the c that makes it equal to "dv".
_OBJECTIVES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "infonce": (lambda scores: infonce(scores).mean(-1),) * 2,
    "nwj": (_jensen_shannon_value, _dv_value),
    "dv": (_jensen_shannon_value, _dv_value),
    "smile": (_jensen_shannon_value, _jensen_shannon_value),
}
_CRITICS: dict[str, Callable[..., Critics]] = {
    "separable": SeparableCritics,
    "concatenated": ConcatenatedCritics,
}


@dataclass(frozen=True)
class Variational:
    """A variational bound as a method of `mutual_information`.

    The samples are dealt into folds. For each fold a critic is trained on most of the other
    samples, stopped early by the rest of them, and judged on the fold, so that every sample is
    held out once; nothing that was seen in training enters the estimate. `Settings.scale` gives
    each column normal scores, normal quantiles of its ranks: information does not change, and
    outliers do not rule the critics. Draws come from `Settings.generator`, or one of seed 0.

    Attributes
    ----------
    bound : {"infonce", "nwj", "dv", "smile"}
        "infonce": low variance, ceiling log B with B <= 512 samples scored against each other.
        "nwj", "dv": no ceiling, but a variance of at least (e^I - 1) / N. "smile": "dv" clipped;
        it may exceed the truth.
    critic : {"separable", "concatenated"}
        g(x) . h(y), or a network of both, which costs some 30 times more.
    hidden, steps, batch : int
        Width of the layers, optimiser steps at most, pairs to a step.
    folds : int
        Number of folds; with more, the critics have more samples and the cost grows.
    clip : float
        tau of "smile".
    """

    bound: Literal["infonce", "nwj", "dv", "smile"] = "infonce"
    critic: Literal["separable", "concatenated"] = "separable"
    hidden: int = 64
    steps: int = 400
    batch: int = 128
    folds: int = 2
    clip: float = 5.0

    def __post_init__(self) -> None:
        check_choice(self.bound, "bound", tuple(_OBJECTIVES))
        check_choice(self.critic, "critic", tuple(_CRITICS))
        for name, least in (("hidden", 1), ("steps", 1), ("batch", 2), ("folds", 2)):
            check_count(getattr(self, name), name, least)
        if not isinstance(self.clip, int | float) or not self.clip > 0:
            raise ValueError(f"clip must be above 0, found {self.clip!r}")

    def __call__(self, x: Array, y: Array, settings: Settings) -> Problem:
        raw = as_parts({"x": x, "y": y}, continuous=False)
        parts = [normal_scores(part) for part in raw] if settings.scale else raw
        generator = seeded(settings.generator)
        n = len(raw[0])
        limited = self.bound == "infonce" and n >= 2 * self.folds
        copied = tie_fraction(torch.cat(raw, 1))
        return Problem(
            parts=tuple(parts),
            measure=lambda a, b: self._held_out(a, b, generator),
            method=self.bound,
            d=sum(part.shape[1] for part in raw),
            # Ten samples to a fold, so that two or more are left for validation.
            least=10 * self.folds - 1,
            least_name="10 folds - 1",
            kind="estimate" if self.bound == "smile" else "lower_bound",
            ceiling=math.log(_block_size(n, self.folds)) if limited else None,
            tie_fraction=copied,
            notes=number_notes({"x": x, "y": y}) + copies_note(copied),
            remarks=self._remarks,
        )

    def _held_out(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Held-out contributions (N,) of samples x (N, d_x) and y (N, d_y)."""
        folds = dealt(len(x), self.folds, generator, x.device)
        with own_training(x.device):
            single = x.to(torch.float32).clone(), y.to(torch.float32).clone()
            critics = self._fitted(*single, folds, generator)
            with torch.no_grad():
                return self._judged(critics, *single, folds).to(x.dtype)

    def _fitted(self, x: Tensor, y: Tensor, folds: Folds, generator: torch.Generator) -> Critics:
        trained_by, chosen_by = _OBJECTIVES[self.bound]
        widths = x.shape[1], y.shape[1]
        critics = _CRITICS[self.critic](self.folds, *widths, self.hidden, x, generator)

        def scores(rows: Tensor) -> Tensor:
            return critics.scores(x[rows], y[rows])

        fit_critics(
            critics,
            batches(folds.train, self.batch, self.steps, generator),
            lambda rows: trained_by(scores(rows)),
            lambda: chosen_by(scores(folds.valid)),
            folds.train.shape[1],
        )
        return critics

    def _judged(self, critics: Critics, x: Tensor, y: Tensor, folds: Folds) -> Tensor:
        """Contributions (N,) to the bound, each by the critic of the fold that holds it out."""
        size = _block_size(len(x), self.folds)
        blocks = math.ceil(len(folds.held[0]) / size)
        # The last block is filled up from the first: every row then has as many candidates.
        around = torch.arange(blocks * size, device=x.device)
        rows = torch.stack([held[around % len(held)] for held in folds.held])  # (F, blocks * size)

        def scores(of: Tensor) -> Tensor:
            return critics.scores(x[of], y[of]).double()

        pieces = rows.split(size, 1)
        if self.bound == "infonce":
            found = [infonce(scores(piece)) for piece in pieces]
        elif self.bound == "nwj":
            shift = drawn_log_mean(scores(folds.valid))[:, None, None]
            found = [nwj(scores(piece) - shift) for piece in pieces]
        else:
            clip = self.clip if self.bound == "smile" else math.inf
            means = torch.stack([drawn_log_mean(scores(piece), clip) for piece in pieces])
            mean = means.logsumexp(0) - math.log(blocks)
            found = [smile(scores(piece), clip, mean) for piece in pieces]
        local = torch.cat(found, 1)
        out = local.new_empty(len(x))
        for values, held in zip(local, folds.held, strict=True):
            out[held] = values[: len(held)]
        return out

    def _remarks(self, local: Tensor) -> tuple[str, ...]:
        """What the held-out contributions (N,) say of their own mean."""
        if not bool(local.any()):
            return (
                "No critic did better on its validation samples than none at all, so the value is "
                "the trivial bound 0.",
            )
        value = float(local.mean())
        if self.bound == "smile" and value > 1:
            return (
                f"Above about 1 nat 'smile' can read far too low, which its standard error does "
                f"not know: the clip at {self.clip:g} and batches of {self.batch} pairs limit what "
                "its critic sees (N=2000: 1.4 of 3.1 nats in one dimension a side, 2.4 of 9.2 in "
                "64).",
            )
        if self.bound in ("infonce", "smile"):
            return ()
        least = math.sqrt(math.expm1(min(max(value, 0.0), 700.0)) / len(local))
        square = (local - value).square()
        few = float(square.max() / square.sum()) > 0.2
        if least < 0.1 and not few:
            return ()
        return (
            f"The mean of e^score over drawn pairs rests on few of them, so the value may be far "
            f"off and its standard error is too small (at an information of {value:.3g} nats the "
            f"right critic has a standard error of {least:.2g} or more); compare 'infonce'.",
        )


def copies_note(share: float) -> tuple[str, ...]:
    """A warning if this share of the samples has exact copies."""
    if not share:
        return ()
    return (
        f"{share:.1%} of the samples have exact copies among the others. Where rows were repeated, "
        "held-out samples have been seen in training and the value is too high: drop the copies.",
    )


def _block_size(n: int, folds: int) -> int:
    """Samples that are scored against each other when n are dealt into folds."""
    held = -(-n // folds)
    return math.ceil(held / math.ceil(held / _BLOCK))
