"""Named points in any torch model: where they are, and the tensors that pass there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Spec = str | nn.Module | tuple[str | nn.Module, str]
Place = tuple[nn.Module, str]
SIDES = ("input", "output")
_SHOWN = 12  # names of modules in a message


def find_points(
    model: nn.Module, points: Mapping[str, Spec] | Iterable[str] | None
) -> tuple[dict[str, Place], str]:
    """Return {label: (module, side)}, and in words how they were chosen.

    Parameters
    ----------
    model : nn.Module
    points : {label: spec}, names, or None
        A spec is the dotted name of a module of the model, or the module itself, whose output is
        meant; or a pair of it and "input" or "output". Names alone are their own labels. None takes
        the input of the last `nn.Linear`: what a classifier sees.

    Raises
    ------
    ValueError
        for a name or module that the model does not have, with those it has; or for None where
        there is no `nn.Linear`
    """
    if points is None:
        linears = [n for n, module in model.named_modules() if isinstance(module, nn.Linear)]
        if not linears:
            raise ValueError(f"points is needed, as the model has no Linear; {_known(model)}")
        label = f"input of {linears[-1] or 'the model'}"
        return {label: (model.get_submodule(linears[-1]), "input")}, "guessed: " + label
    if isinstance(points, str) or not isinstance(points, Iterable):
        raise ValueError(f"points must be {{label: module or its name}}; found {points!r}")
    named = points if isinstance(points, Mapping) else {name: name for name in points}
    if not named:
        raise ValueError(f"points is empty; {_known(model)}")
    return {str(label): _place(model, label, spec) for label, spec in named.items()}, "given"


@contextmanager
def watched(places: Mapping[str, Place]) -> Iterator[dict[str, list[list[Tensor]]]]:
    """Give a dict that fills with what passes at the places, {label: [tensors of a call]}.

    Every tensor requires a gradient, and is that which the rest of the forward pass was computed
    from. A module that is called several times gives several lists. The hooks are gone afterwards.
    """
    seen: dict[str, list[list[Tensor]]] = {label: [] for label in places}
    handles = []
    try:
        for label, (module, side) in places.items():
            catch = _catch(seen[label], f"points[{label!r}]: the {side} of {type(module).__name__}")
            if side == "input":
                handles.append(module.register_forward_pre_hook(_at_input(catch), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(_at_output(catch)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _place(model: nn.Module, label: str, spec: Any) -> Place:
    which, side = spec if isinstance(spec, tuple) and len(spec) == 2 else (spec, "output")
    if side not in SIDES:
        raise ValueError(f"points[{label!r}] must end in 'input' or 'output'; found {side!r}")
    if isinstance(which, str):
        modules = dict(model.named_modules())
        if which not in modules:
            raise ValueError(f"points[{label!r}] names {which!r}; {_known(model)}")
        return modules[which], side
    if not any(which is module for module in model.modules()):
        found = type(which).__name__
        raise ValueError(f"points[{label!r}] is no module of the model: {found}; {_known(model)}")
    return which, side


def _known(model: nn.Module) -> str:
    names = [name for name, _ in model.named_modules() if name]
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"its modules are {', '.join(names[:_SHOWN]) or 'none'}{more}"


def _at_input(catch: Callable[[Any], Any]) -> Callable:
    return lambda module, args, kwargs: catch((args, kwargs))


def _at_output(catch: Callable[[Any], Any]) -> Callable:
    return lambda module, args, output: catch(output)


def _catch(calls: list[list[Tensor]], what: str) -> Callable[[Any], Any]:
    """What keeps the floating-point tensors of a value, and gives the value to go on with."""

    def catch(value: Any) -> Any:
        kept: dict[int, tuple[Tensor, Tensor]] = {}  # by identity: query and key may be the same

        def keep(passing: Tensor) -> Tensor:
            own = passing if passing.requires_grad else passing.detach().requires_grad_()
            own = kept.setdefault(id(passing), (passing, own))[1]
            # The model goes on with a copy: what it does to it in place must not reach the kept.
            return own.clone()

        new = _swapped(value, keep)
        if not kept:
            raise ValueError(f"{what} holds no floating-point tensor; name another module")
        calls.append([own for _, own in kept.values()])
        return new

    return catch


def _swapped(value: Any, swap: Callable[[Tensor], Tensor]) -> Any:
    """The value with its floating-point tensors swapped; containers that hold any are copied."""
    if isinstance(value, Tensor):
        return swap(value) if torch.is_floating_point(value) else value
    entries: dict[Any, Any]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        entries = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, Mapping):
        entries = dict(value)
    elif isinstance(value, tuple | list):
        entries = dict(enumerate(value))
    else:
        return value
    new = {key: _swapped(entry, swap) for key, entry in entries.items()}
    changed = {key: entry for key, entry in new.items() if entry is not entries[key]}
    if not changed:
        return value
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **changed)  # type: ignore[type-var]
    if isinstance(value, Mapping):
        return type(value)(new)  # type: ignore[call-arg]
    return type(value)(*new.values()) if hasattr(value, "_fields") else type(value)(new.values())
