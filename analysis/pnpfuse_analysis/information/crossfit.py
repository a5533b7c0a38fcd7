"""Cross-fitting: each sample is judged by a critic that was neither trained nor chosen on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from .critics import Critics

# Validation samples to a fold at most, and their share of what is not held out.
_VALIDATION = 1024
_SHARE = 0.2

# Steps between two looks at the validation samples, and looks without any gain before the end.
_EVERY = 25
_PATIENCE = 6

_RATE = 3e-3

# Decoupled weight decay. A prior weighs as much as a fixed number of samples: with few of them the
# critics must be simple (one pair in 16 + 16 dimensions, N = 2000, truth 0.83: InfoNCE gives 0.06
# with a decay of 0.3, and 0.76 with 5).
_DECAY_SAMPLES = 4000.0
_DECAY_MOST = 4.0


class Folds(NamedTuple):
    """Rows of F folds; a fold's three parts are disjoint.

    Attributes
    ----------
    train : Tensor of int64, shape (F, n_train)
    valid : Tensor of int64, shape (F, n_valid)
        For early stopping.
    held : tuple of F Tensors, shape (n_f,)
        Held-out rows: every sample is in just one of them. Their lengths differ by 1 at most.
    """

    train: Tensor
    valid: Tensor
    held: tuple[Tensor, ...]


def dealt(n: int, folds: int, generator: torch.Generator, device: torch.device) -> Folds:
    """Return n rows dealt at random into folds."""
    order = torch.randperm(n, generator=generator, device=generator.device).to(device)
    held = order.tensor_split(folds)
    size = n - len(held[0])
    rest = []
    for fold in range(folds):
        others = torch.cat([*held[:fold], *held[fold + 1 :]])
        mixed = torch.randperm(len(others), generator=generator, device=generator.device)
        rest.append(others[mixed.to(device)][:size])
    valid = min(int(_SHARE * size), _VALIDATION)
    rows = torch.stack(rest)
    return Folds(rows[:, valid:], rows[:, :valid], held)


def batches(rows: Tensor, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield `steps` batches (F, size) of rows (F, n), in a new order on each pass."""
    folds, n = rows.shape
    size = min(size, n)
    given = 0
    while True:
        drawn = torch.rand(
            folds, n, generator=generator, device=generator.device, dtype=torch.float32
        )
        order = rows.gather(1, drawn.argsort(1).to(rows.device))
        for start in range(0, n - size + 1, size):
            if given == steps:
                return
            given += 1
            yield order[:, start : start + size]


def fit_critics(
    critics: Critics,
    rounds: Iterator[Tensor],
    objective: Callable[[Tensor], Tensor],
    validate: Callable[[], Tensor],
    samples: int,
) -> None:
    """Train critics, and leave each with the parameters that were best on its validation samples.

    The untrained critic, which finds nothing and whose value is `validate()` before the first step,
    stands among the candidates, so that noise is not mistaken for information.

    Parameters
    ----------
    critics : Critics
    rounds : iterator of Tensor, shape (F, B)
        Rows of each step.
    objective : callable
        Takes such rows, returns the values (F,) to be raised.
    validate : callable
        Returns the values (F,) on validation samples.
    samples : int
        Number of training samples of a fold.
    """
    parameters = critics.parameters
    decay = min(_DECAY_MOST, _DECAY_SAMPLES / samples)
    fused = parameters[0].device.type in ("cpu", "cuda")
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=decay, fused=fused)
    best = [part.detach().clone() for part in parameters]
    with torch.no_grad():
        top = validate()
    idle = 0
    for step, rows in enumerate(rounds, 1):
        optimiser.zero_grad()
        (-objective(rows).sum()).backward()
        optimiser.step()
        if step % _EVERY:
            continue
        with torch.no_grad():
            value = validate()
            better = value > top  # never so for NaN
            top = torch.where(better, value, top)
            for kept, part in zip(best, parameters, strict=True):
                kept.copy_(torch.where(better[:, None, None], part, kept))
        idle = 0 if bool(better.any()) else idle + 1
        if idle == _PATIENCE:
            break
    with torch.no_grad():
        for kept, part in zip(best, parameters, strict=True):
            part.copy_(kept)


@contextmanager
def own_training(device: torch.device) -> Iterator[None]:
    """Gradients on and mixed precision off, whatever the caller has switched."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield
