"""Points of a model, and hooks that keep the tensors which pass there."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

Where = Literal["input", "output", "parameters"]
Point = str | nn.Module | tuple[str | nn.Module, Where]

_PLACES = ("input", "output", "parameters")
# What DistributedDataParallel, DataParallel and torch.compile put into the names of modules.
_WRAPPERS = ("module", "_orig_mod")


class Tap:
    """Keeps the tensors with gradients that pass one point of a model while it is open.

    Attributes
    ----------
    module : nn.Module
    where : {"input", "output", "parameters"}
    open : bool
        Closed, a hook returns at once.
    """

    def __init__(self, module: nn.Module, where: Where):
        self.module, self.where = module, where
        self.open = False
        self._calls: list[tuple[Tensor, ...]] = []
        self._replaces = False
        self._handle: Any = None

    def attach(self) -> None:
        """Set the hook, unless it is there."""
        if self._handle is not None or self.where == "parameters":
            return
        if self.where == "input":
            self._handle = self.module.register_forward_pre_hook(self._enter, with_kwargs=True)
        else:
            self._handle = self.module.register_forward_hook(self._leave)

    def detach(self) -> None:
        """Remove the hook and what it has kept."""
        if self._handle is not None:
            self._handle.remove()
        self._handle, self.open, self._calls = None, False, []

    def take(self) -> list[tuple[Tensor, ...]]:
        """Return the tensors of each call since the last time, and forget them."""
        if self.where == "parameters":
            return [tuple(p for p in self.module.parameters() if p.requires_grad)]
        calls, self._calls = self._calls, []
        return calls

    def _leave(self, module, given, output):
        if self.open and torch.is_grad_enabled() and not _in_backward():
            self._calls.append(tuple(t for t in tensors_in(output) if t.requires_grad))

    def _enter(self, module, given, named):
        # Checkpointing runs a module again in the backward pass, and wants it to do the same.
        again = _in_backward()
        if not again:
            self._replaces = self.open and torch.is_grad_enabled()
        if not self._replaces:
            return None
        kept = []

        def passed(tensor):
            if not tensor.is_floating_point():
                return tensor
            # Data become a leaf that requires a gradient; the module gets a copy, in which it may
            # work in place.
            source = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
            kept.append(source.view_as(source))
            return kept[-1].clone()

        replaced = _replaced((given, named), passed)
        if not again:
            self._calls.append(tuple(kept))
        return replaced

    def __getstate__(self):
        # A copied or saved model takes a closed tap along, and no tensors.
        return self.__dict__ | {"open": False, "_calls": [], "_handle": None}


def resolve(model: nn.Module, point: Point, name: str) -> tuple[nn.Module, Where]:
    """Return the module of a point, and where in it; `name` is for messages.

    Raises
    ------
    ValueError
        If the point is neither a module of the model or its name, nor such a one with "input",
        "output" or "parameters".
    """
    module, where = point if isinstance(point, tuple) and len(point) == 2 else (point, "output")
    if where not in _PLACES:
        raise ValueError(
            f"{name} must be a module or its name, alone or with one of {', '.join(_PLACES)}, as "
            f"('encoder', 'input'), found {point!r}"
        )
    modules = dict(model.named_modules())
    if isinstance(module, str):
        bare = {_unwrapped(key): found for key, found in reversed(modules.items())}
        if module not in modules and module not in bare:
            near = difflib.get_close_matches(module, bare, n=3) or list(bare)[::-1][1:6]
            raise ValueError(
                f"{name} must name a module of the model, found {module!r}; there is "
                f"{', '.join(map(repr, near))}; model.named_modules() has them all"
            )
        return modules[module] if module in modules else bare[module], where
    if not isinstance(module, nn.Module) or all(module is not one for one in modules.values()):
        raise ValueError(
            f"{name} must be a module of the model or its name, found {type(module).__name__}"
            f"{' that is not in it' if isinstance(module, nn.Module) else ''}"
        )
    return module, where


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists, mappings and dataclasses, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from tensors_in(one)
    elif dataclasses.is_dataclass(value):
        yield from tensors_in([getattr(value, field.name) for field in dataclasses.fields(value)])


def _replaced(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with each tensor in plain tuples, lists and dicts changed."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) is dict:
        return {key: _replaced(one, change) for key, one in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_replaced(one, change) for one in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_replaced(one, change) for one in value))
    return value


def _unwrapped(name):
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _in_backward():
    return torch._C._current_graph_task_id() != -1
