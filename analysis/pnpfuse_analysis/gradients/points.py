"""The border of gradients: losses, and the tensors at which their gradients are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from torch import Tensor, nn


def check_model(model: nn.Module) -> None:
    """Raise ValueError unless model is a module."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, found {type(model).__name__}")


def check_losses(losses: Mapping[str, Tensor], main: str) -> None:
    """Raise ValueError unless losses are real scalars, and main one of several."""
    if not isinstance(losses, Mapping):
        raise ValueError(f"losses must map names to scalar tensors, found {type(losses).__name__}")
    if not isinstance(main, str) or main not in losses or len(losses) < 2:
        raise ValueError(
            f"main must name one of at least two losses, found main={main!r} and losses "
            f"{list(losses)}"
        )
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"losses[{name!r}] must be a scalar tensor, found {what}; reduce it")
        if loss.is_complex():
            raise ValueError(
                f"losses[{name!r}] must be real, found {loss.dtype}; pass its .abs() or .real"
            )


@contextmanager
def kept_graph() -> Iterator[None]:
    """Say what to do where the graph of a loss is needed, but freed or not to be asked."""
    try:
        yield
    except RuntimeError as error:
        if "use_reentrant" in str(error):
            raise ValueError(
                "points must not lie before a region that is checkpointed with use_reentrant=True, "
                "found one there; pass use_reentrant=False to the checkpoint, or choose points "
                "behind it"
            ) from error
        if "second time" not in str(error):
            raise
        raise ValueError(
            "losses must still have their graph, found one freed by an earlier backward pass; "
            "pass retain_graph=True to that pass"
        ) from error


def as_points(at: Any, name: str = "at") -> tuple[Tensor, ...]:
    """Return the tensors in `at`; ValueError unless gradients can be taken at every one."""
    one = isinstance(at, Tensor | np.ndarray | str) or not isinstance(at, Iterable)
    points = (at,) if one else tuple(at.values() if isinstance(at, Mapping) else at)
    if not points:
        raise ValueError(f"{name} must hold at least one tensor, found none")
    for point in points:
        if not isinstance(point, Tensor):
            inside = "" if one else f" in {type(at).__name__}"
            raise ValueError(
                f"{name} must be a tensor or a sequence of tensors, found {type(point).__name__}"
                f"{inside}; for a module pass list(module.parameters())"
            )
        if point.is_complex():
            raise ValueError(
                f"{name} must hold real tensors, found {point.dtype}; build the losses from "
                "torch.view_as_complex of a real one"
            )
        if not point.requires_grad:
            raise ValueError(
                f"{name} must hold tensors that require grad, found one of shape "
                f"{tuple(point.shape)} that does not; call .requires_grad_() before the "
                "losses are computed"
            )
    return points


def check_names(names: Any, name: str) -> tuple[str, ...]:
    """Return the names of losses; ValueError unless they are at least two different strings."""
    fit = isinstance(names, Iterable) and not isinstance(names, str)
    found = tuple(names) if fit else ()
    strings = all(isinstance(one, str) for one in found)
    if not strings or len(set(found)) < max(2, len(found)):
        raise ValueError(f"{name} must be at least two different strings, found {names!r}")
    return found


def check_flag(value: bool, name: str) -> None:
    """Raise ValueError unless value is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, found {value!r}")


def check_dim(batch_dim: int) -> None:
    """Raise ValueError unless batch_dim is a whole number."""
    if not isinstance(batch_dim, Integral) or isinstance(batch_dim, bool):
        raise ValueError(f"batch_dim must be a whole number, found {batch_dim!r}")


def check_axis(points: Sequence[Tensor], batch_dim: int, name: str = "at") -> None:
    """Raise ValueError unless every point has the axis batch_dim, and the same samples along it."""
    for point in points:
        if not -point.ndim <= batch_dim < point.ndim:
            raise ValueError(
                f"batch_dim must be an axis of every tensor in {name}, found {batch_dim} for one "
                f"of shape {tuple(point.shape)}"
            )
    sizes = {point.shape[batch_dim] for point in points}
    if len(sizes) > 1 or 0 in sizes:
        raise ValueError(
            f"{name} must hold the same samples along batch_dim={batch_dim}, found lengths "
            f"{sorted(sizes)}; for parameters pass per_sample=False"
        )
