"""What a figure of a sweep says about where it came from."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pnpfuse.figures import GREY
from pnpfuse.fusion.methods import METHODS
from pnpfuse.fusion.registry import MODEL_OPTIONS
from pnpfuse.sweep.dataset import NOT_RUN, OUTCOME
from pnpfuse.sweep.plan import SETTINGS
from pnpfuse.sweep.run import run_sweep
from pnpfuse.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def captioned(figure: Figure, sweep: xr.Dataset, said: str, command: str | None) -> Figure:
    """The figure with what it shows, the data behind it and the command below."""
    letters = int(18 * figure.get_size_inches()[0])
    parts = [said, _behind(sweep), command or rerun(sweep)]
    text = "\n".join(textwrap.fill(part, letters, break_long_words=False) for part in parts if part)
    # A dollar sign would begin a formula.
    figure.supxlabel(text.replace("$", r"\$"), fontsize=6.5, color=GREY)
    return figure


def rerun(sweep: xr.Dataset) -> str:
    """The call of run_sweep that the Dataset's attributes tell of; empty if they do not."""
    record = _record(sweep)
    if not {"n", "b", "seeds", "model", "epochs"} <= set(record):
        return ""
    given = {
        "n": _listed(record["n"]),
        "b": _listed(record["b"]),
        "seeds": _counted(record["seeds"]),
        "model": repr(record["model"]),
        "epochs": record["epochs"],
    }
    for name in ("missing", "voltage"):
        if record.get(name, _default(run_sweep, name)) != _default(run_sweep, name):
            given[name] = repr(record[name])
    if options := _others(record.get("options", {}), _options(record["model"])):
        given["options"] = repr(options)
    for name, value in record.get("settings", {}).items():
        if value != _default(fit, name):
            given[name] = repr(value)
    arguments = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"run_sweep(load_views({sweep.attrs.get('data', 'data')!r}), {arguments})"


def _default(function: Callable[..., Any], argument: str) -> Any:
    parameter = inspect.signature(function).parameters.get(argument)
    return None if parameter is None else parameter.default


def _options(model: str) -> dict[str, Any]:
    """The options of a method where none are given."""
    if model not in METHODS:
        return {}
    method = METHODS[model]
    return MODEL_OPTIONS | method.block_options | method.head_options | method.model_options


def _others(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in given.items() if defaults.get(name) != one}


def _behind(sweep: xr.Dataset) -> str:
    """Data, model, epochs, seeds, and how many points there are."""
    attrs, seeds = sweep.attrs, sweep.sizes["seed"]
    said = [
        f"{attrs['model']} on {attrs['data']}" if {"model", "data"} <= set(attrs) else "",
        f"{int(attrs['epochs'])} epochs" if "epochs" in attrs else "",
        f"{seeds} seeds" if seeds > 1 else "one seed, no spread",
        _unfinished(sweep),
    ]
    return ", ".join(part for part in said if part) + "."


def _unfinished(sweep: xr.Dataset) -> str:
    if OUTCOME not in sweep:
        return ""
    left = int((sweep[OUTCOME] == NOT_RUN).sum())
    return f"{left} of {sweep[OUTCOME].size} points not run yet" if left else ""


def _record(sweep: xr.Dataset) -> dict[str, Any]:
    try:
        record = json.loads(sweep.attrs[SETTINGS])
    except (KeyError, TypeError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _listed(values: Sequence[float]) -> str:
    """The numbers, evenly spaced ones in short."""
    steps = np.diff(values)
    if len(values) > 3 and np.allclose(steps, steps[0]):
        return f"numpy.linspace({values[0]:g}, {values[-1]:g}, {len(values)})"
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _counted(seeds: Sequence[int]) -> str:
    return str(len(seeds)) if list(seeds) == list(range(len(seeds))) else str(list(seeds))
