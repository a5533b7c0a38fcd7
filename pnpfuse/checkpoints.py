"""The state of a training in a folder: tensors as safetensors, the rest as JSON."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from functools import partial
from inspect import getclosurevars
from numbers import Number
from pathlib import Path
from types import CodeType, FunctionType, MethodType, NoneType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pnpfuse.data import Views
from pnpfuse.evaluation import in_order
from pnpfuse.storage import save_bytes, save_text
from pnpfuse.weighting import name_of

DESCRIPTION = "checkpoint.json"
TENSORS = "tensors-{}.safetensors"


def write_checkpoint(folder: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write `state`, a tree of dicts of tensors and what JSON can hold, to `folder`.

    It has an "epoch" and "settings".

    ``checkpoint.json`` names the file of tensors that belongs to it and is replaced last, so
    that a stop at any moment leaves the old checkpoint or the new one.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    paths: dict[str, list[str]] = {}
    rest = _take_tensors(state, [], tensors, paths)
    content = save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    # A name of its own: the file that the old description speaks of has to stay until the end.
    name = TENSORS.format(digest[:16])
    save_bytes(content, folder / name)
    rest["file"] = {"name": name, "sha256": digest, "paths": paths}
    save_text(json.dumps(rest, indent=1) + "\n", folder / DESCRIPTION)
    for old in folder.glob(TENSORS.format("*")):
        if old.name != name:
            old.unlink(missing_ok=True)
    for draft in folder.glob(".writing-*"):  # of a process that was killed
        shutil.rmtree(draft, ignore_errors=True)


def read_checkpoint(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The state in `folder`, tensors on the CPU; None if there is none.

    Raises
    ------
    ValueError
        naming the file that is damaged
    """
    path = Path(folder) / DESCRIPTION
    if not path.exists():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        file = state.pop("file")
        name, digest, paths = Path(file["name"]).name, file["sha256"], dict(file["paths"])
        state["epoch"], state["settings"] = int(state["epoch"]), dict(state["settings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    path = path.with_name(name)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its content is not what was written")
        for key, tensor in load(content).items():
            _put(state, paths[key], tensor)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(path, error) from error
    return state


def check_same(folder: str | os.PathLike[str], saved: dict[str, Any], now: dict[str, Any]) -> None:
    """ValueError that names the first setting in which `now` differs from a checkpoint's."""
    now = json.loads(json.dumps(now))
    for name in [*now, *(set(saved) - set(now))]:
        if saved.get(name) != now.get(name):
            raise ValueError(
                f"{name} was {saved.get(name)!r} for the training in the checkpoint {folder} and "
                f"is {now.get(name)!r} now: give the same, another checkpoint folder, or "
                "resume=False to begin anew"
            )


def fingerprint(views: Views) -> str:
    """A short name of the data, of every value; what stays in its file is read once for it."""
    found = hashlib.sha256(json.dumps([views.dims, views.classes]).encode())
    found.update(np.ascontiguousarray(views.labels).tobytes())
    for mask in (views.present or {}).values():
        found.update(np.ascontiguousarray(mask).data)
    for rows in in_order(len(views), views.dims):
        for X in views.read(rows).values():
            found.update(np.ascontiguousarray(X).data)
    return found.hexdigest()[:16]


def told_apart(choice: Any) -> str:
    """The word for a choice, or the name of the function given instead and a digest of it.

    The digest is of the function's compiled code, defaults, and the numbers and words that it
    finds around itself; of another callable, of those that it holds. What a function calls is
    not looked into.
    """
    if isinstance(choice, str):
        return choice
    digest = hashlib.sha256(repr(_content(choice)).encode()).hexdigest()
    return f"{name_of(choice)} {digest[:8]}"


def _content(value: Any) -> Any:
    """What of `value` can be compared between two processes, as something with a plain repr."""
    if isinstance(value, (Number, str, bytes, NoneType)):
        return value
    if isinstance(value, (tuple, frozenset)):
        parts = [_content(part) for part in value]
        return parts if isinstance(value, tuple) else sorted(parts, key=repr)
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, _content(value.co_consts)
    if isinstance(value, MethodType):
        return _content(value.__func__), _content(value.__self__)
    if isinstance(value, partial):
        return _content(value.func), _content(value.args), _plain(value.keywords)
    if isinstance(value, FunctionType):
        around = getclosurevars(value)
        return (
            _content(value.__code__),
            _content(value.__defaults__),
            _plain(value.__kwdefaults__ or {}),
            _plain(around.globals),
            _plain(around.nonlocals),
        )
    return type(value).__qualname__, _plain(getattr(value, "__dict__", {}))


def _plain(named: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and words in a mapping."""
    return {key: value for key, value in named.items() if isinstance(value, (Number, str, bytes))}


def _take_tensors(
    tree: dict[str, Any], path: list[str], tensors: dict[str, Tensor], paths: dict[str, list[str]]
) -> dict[str, Any]:
    """`tree` without its tensors, which go to `tensors` under the names of `paths`."""
    rest: dict[str, Any] = {}
    for key, value in tree.items():
        here = [*path, str(key)]
        if isinstance(value, Tensor):
            paths["/".join(here)] = here
            tensors["/".join(here)] = (
                value.detach().cpu().clone(memory_format=torch.contiguous_format)
            )
        elif isinstance(value, dict):
            rest[here[-1]] = _take_tensors(value, here, tensors, paths)
        else:
            rest[here[-1]] = value
    return rest


def _put(tree: dict[str, Any], path: list[str], tensor: Tensor) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = tensor


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"the checkpoint file {path} cannot be used ({error}): remove its folder, or give "
        "resume=False to begin anew"
    )
