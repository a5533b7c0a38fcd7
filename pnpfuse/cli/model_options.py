"""The options of the command line that `create_model` takes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Any

from pnpfuse.cli.ablations import Plans, ablation_rows, ablations_note

FLAGS = ("n", "b", "fill")  # with a flag of their own; every option has --option
# Equal to the second by default: the same block, head and loss under the name of another paper.
TWINS = {"gmf": "spmr", "g-mbt": "sg-mbt", "g-perceiver": "sg-perceiver"}


def add_model_options(parser: argparse.ArgumentParser, swept: bool = False) -> None:
    """The arguments of `create_model`; None where the method has a value of its own.

    Of a sweep, n and b are no options of the model.
    """
    group = parser.add_argument_group(
        "model", "pnpfuse models prints which method has which options, with their defaults"
    )
    if swept:
        parser.set_defaults(n=None, b=None)
    else:
        group.add_argument("--n", type=float, help="magnification factor (4)")
        group.add_argument("--b", type=float, help="boundary as a ratio (0.5)")
    group.add_argument("--fill", help="what stands for a missing modality: zero, mean, learned, "
                       "or input, its training mean at the encoder (zero)")  # fmt: skip
    group.add_argument("--option", action="append", metavar="KEY=VALUE",
                       help="any option, once for each; the value as JSON (8, true, null, "
                       "[1, 2]) or a word")  # fmt: skip


def options_given(given: argparse.Namespace) -> dict[str, Any]:
    """{option: value} that the command line gives."""
    flags = [(key, getattr(given, key)) for key in FLAGS]
    entries = [(key, value) for key, value in flags if value is not None]
    for entry in given.option or []:
        key, equals, value = entry.partition("=")
        if not (key and equals):
            raise ValueError(f"--option needs KEY=VALUE; found {entry!r}")
        entries.append((key, _value(value)))
    options = dict(entries)
    if len(options) < len(entries):
        keys = [key for key, _ in entries]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the option {twice} is given twice; give it once")
    return options


def model_given(given: argparse.Namespace) -> dict[str, Any]:
    """The options for --model.

    Raises
    ------
    ValueError
        naming the flag that gives an option which the method does not have
    """
    from pnpfuse.fusion.methods import METHODS

    options, known = options_given(given), known_options("--model", given.model)
    fixed = METHODS[given.model].fixed  # what to say about these, `create_model` knows
    strange = [(_flag(given, key), key) for key in options if key not in known | fixed]
    if getattr(given, "mapped", False):
        strange += [("--mapped", key) for key in ("n", "b") if key not in known]
    for flag, key in strange:
        raise ValueError(
            f"{flag} gives {key}, which {given.model} does not have; it has {', '.join(known)}"
            + _inner_said([given.model])
        )
    return options


def models_given(given: argparse.Namespace) -> tuple[Plans, list[str]]:
    """{label: (name, options)} for --models and --ablations, and why some are not among them.

    Each takes those of the options that it has.
    """
    from pnpfuse.fusion.registry import list_models

    every = [name for name in list_models() if name not in TWINS]
    names = given.models or ([] if given.ablations else every)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"--models names {twice[0]} twice; name each once")
    options = options_given(given)
    known = {name: known_options("--models", name) for name in [*names, *given.ablations]}
    for key in options:
        if not any(key in has for has in known.values()):
            raise ValueError(
                f"{_flag(given, key)}: none of the models has the option {key}{_inner_said(known)}"
            )
    rows, same = ablation_rows(given.ablations, options)
    plans = {
        name: (name, {key: value for key, value in options.items() if key in known[name]})
        for name in names
    }
    notes = [twins_note()] if names == every and not given.models else []
    return plans | rows, notes + ([ablations_note(same)] if same else [])


def _inner_said(names: Iterable[str]) -> str:
    """Where the options of a model inside one of these go."""
    from pnpfuse.fusion.methods import METHODS

    inner = "; the base of infobridge takes its own in --option base_options={...}"
    return inner if any(METHODS[name].bridge for name in names) else ""


def twins_note() -> str:
    """Why some models are not among all."""
    said = ", ".join(f"{name} ({twin})" for name, twin in TWINS.items())
    return f"left out, being equal by default to the one in brackets: {said}; --models takes them"


def known_options(argument: str, name: str) -> dict[str, Any]:
    """{option: default} of a method, without those that its name fixes."""
    from pnpfuse.fusion.arguments import check_choice
    from pnpfuse.fusion.methods import METHODS
    from pnpfuse.fusion.registry import MODEL_OPTIONS, list_models

    method = METHODS[check_choice(argument, name, list_models())]
    return method.options | MODEL_OPTIONS | method.model_options  # its own first, for messages


def model_lines() -> Iterator[str]:
    """Every method: its name, what it is, its options, and the weights of its losses."""
    from pnpfuse.fusion.methods import BALANCE, METHODS
    from pnpfuse.fusion.registry import MODEL_OPTIONS

    yield f"every model: {_written(MODEL_OPTIONS)}"
    for name, method in sorted(METHODS.items()):
        own = method.options
        weights = method.weights | (BALANCE if method.fixed.get("experts") else {})
        twin = f" (by default equal to {TWINS[name]})" if name in TWINS else ""
        yield f"{name}: {method.summary}{twin}"
        for title, values in (("options", own), ("losses", weights)):
            if values:
                yield from wrap(_written(values), 96, initial_indent=f"    {title:9}",
                                subsequent_indent=13 * " ")  # fmt: skip
    yield f"with experts=moe also the loss {_written(BALANCE)}"


def _written(values: dict[str, Any]) -> str:
    """As --option takes them."""
    return " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flag(given: argparse.Namespace, key: str) -> str:
    flag = key in FLAGS and getattr(given, key) is not None
    return f"--{key}" if flag else f"--option {key}"
