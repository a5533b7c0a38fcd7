"""Points of a model, and hooks that keep the tensors which pass there."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .ancestry import leaves
from .points import check_model

Where = Literal["input", "output", "parameters"]
Point = str | nn.Module | tuple[str | nn.Module, Where]

_PLACES = ("input", "output", "parameters")
# What DistributedDataParallel, DataParallel and torch.compile put into the names of modules.
_WRAPPERS = ("module", "_orig_mod")
# Calls of a module to keep between two steps: each may hold a whole graph.
MOST_CALLS = 256


class _Hook:
    """A hook that does nothing in copies of the model, which need nothing of this package."""

    def __init__(self, call: Callable[..., Any]):
        self._call = call

    def __call__(self, *given: Any) -> Any:
        return self._call(*given)

    def __reduce__(self):
        return getattr, (nullcontext(), _INERT.__name__)


_INERT = nullcontext.__exit__


class Tap:
    """Keeps the tensors with gradients that pass one point of a model while it is open.

    Attributes
    ----------
    module : nn.Module
    where : {"input", "output", "parameters"}
    open : bool
        Closed, a hook returns at once.
    overrun : bool
        Whether calls before the last `MOST_CALLS` have been forgotten since `take`.
    """

    def __init__(self, module: nn.Module, where: Where):
        self.module, self.where = module, where
        self.open, self.overrun = False, False
        self._calls: list[tuple[Tensor, ...]] = []
        self._replaces = False
        self._given: list[list[tuple[Tensor, Tensor]]] = []
        self._handle: Any = None
        self._passing: Any = None

    def attach(self) -> None:
        """Set the hook, unless it is there."""
        if self._handle is not None or self.where == "parameters":
            return
        if self.where == "input":
            enter = _Hook(self._enter)
            self._handle = self.module.register_forward_pre_hook(enter, with_kwargs=True)
        else:
            self._handle = self.module.register_forward_hook(_Hook(self._leave))

    def detach(self) -> None:
        """Remove the hook and what it has kept, and what a copied model has left of one."""
        for handle in (self._handle, self._passing):
            if handle is not None:
                handle.remove()
        self._handle, self._passing = None, None
        _forget_inert(self.module)
        self.open, self.overrun, self._calls, self._given = False, False, [], []

    def take(self) -> list[tuple[Tensor, ...]]:
        """Return the tensors of each call since the last time, and forget them."""
        if self.where == "parameters":
            return [tuple(p for p in self.module.parameters() if p.requires_grad)]
        calls, self._calls, self._given, self.overrun = self._calls, [], [], False
        return calls

    def _keep(self, tensors):
        self._calls.append(tuple(tensors))
        if len(self._calls) > MOST_CALLS:
            del self._calls[0]
            self.overrun = True

    def _leave(self, module, given, output):
        if self.open and torch.is_grad_enabled() and not _in_backward():
            self._keep(t for t in tensors_in(output) if t.requires_grad)

    def _enter(self, module, given, named):
        # Checkpointing runs a module again in the backward pass, and wants it to do the same.
        again = _in_backward()
        if not again:
            self._replaces = self.open and torch.is_grad_enabled()
        if not self._replaces:
            return None
        kept, pairs = [], []

        def passed(tensor):
            if not tensor.is_floating_point():
                return tensor
            # Data become a leaf that requires a gradient. The module gets a copy, in which it may
            # work in place; the point is no view, for it has to stay when the caller's tensor
            # changes.
            source = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
            kept.append(source.clone())
            pairs.append((kept[-1].clone(), tensor))
            return pairs[-1][0]

        replaced = _replaced((given, named), passed)
        self._given.append(pairs)
        if self._passing is None:
            # First of all hooks, so that taps at one place undo in turn what they have done.
            self._passing = self.module.register_forward_hook(_Hook(self._return), prepend=True)
        if not again:
            self._keep(kept)
        return replaced

    def _return(self, module, given, output):
        """Do to the caller's tensors what the module has done to its copies in place."""
        pairs = self._given.pop() if self._given else []
        if not self._given and self._passing is not None:
            self._passing.remove()
            self._passing = None
        changed = {id(copy): tensor for copy, tensor in pairs if copy._version}
        if not changed:
            return None
        for copy, tensor in pairs:
            if id(copy) in changed:
                _follow(tensor, copy)

        def returned(tensor):
            # A module in place returns what it was given. Data stay data, so that gradients can
            # only come by the copy.
            own = changed.get(id(tensor), tensor)
            return own if own.requires_grad else tensor

        return _replaced(output, returned)


def resolve(model: nn.Module, point: Point, name: str) -> tuple[nn.Module, Where]:
    """Return the module of a point, and where in it; `name` is for messages.

    Raises
    ------
    ValueError
        If model is no module, or the point is neither a module of it or its name, nor such a one
        with "input", "output" or "parameters".
    """
    check_model(model)
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


def _follow(tensor, copy):
    """Change a tensor in place into the copy, with its history where that reaches further back."""
    with torch.set_grad_enabled(tensor.requires_grad or len(leaves([copy])) > 1):
        tensor.copy_(copy)


def _forget_inert(module):
    """Remove the hooks that do nothing."""
    for kind in ("_forward_hooks", "_forward_pre_hooks"):
        hooks = getattr(module, kind)
        for key in [k for k, hook in hooks.items() if getattr(hook, "__func__", None) is _INERT]:
            del hooks[key]
            getattr(module, f"{kind}_with_kwargs").pop(key, None)


def _unwrapped(name):
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _in_backward():
    return torch._C._current_graph_task_id() != -1
