"""Methods side by side: models x seeds x missing modalities on the same rows."""

from __future__ import annotations

import inspect as signatures
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any
from urllib.parse import quote

import torch
import xarray as xr
from tqdm.auto import tqdm

from pnpfuse.evaluation import check_conditions, check_views, conditions
from pnpfuse.fusion.arguments import check_count, check_seeds
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model, plain
from pnpfuse.provenance import provenance
from pnpfuse.runs import ONE_AT_A_TIME, Key, Run, complain, elsewhere, here
from pnpfuse.training import fit
from pnpfuse.views import Views, check_is_views

# A label with the method's name, or with the name and its options.
Models = Iterable[str] | Mapping[str, str | tuple[str, Mapping[str, Any]]]


def compare(
    models: Models,
    views: Views,
    *,
    seeds: int | Iterable[int] = 3,
    epochs: int = 30,
    missing: str = "all",
    inspect: Callable[[str, int, FusionModel], None] | None = None,
    measure: Callable[[FusionModel, Views], xr.Dataset] | None = None,
    executor: Executor | None = None,
    threads: int = 1,
    progress: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """Train every model with every seed and evaluate it on the test rows.

    Parameters
    ----------
    models : names, or {label: name} or {label: (name, options)}
        As for `create_model`.
    views : Views
        The data; training rows train, test rows only measure.
    seeds : int or iterable of int
        A count means 0, 1, ...; a seed sets the initial weights, the shuffling and dropout.
    epochs : int
        Of each training.
    missing : {"none", "each", "all"}
        As for `evaluate`.
    inspect : callable or None
        Called with (label, seed, model) after each training; not with an executor, since the
        models stay where they were trained.
    measure : callable or None
        Called with (model, views) after each training, where the model is; the variables of the
        Dataset that it gives join the scores. For an executor of processes a function that can be
        pickled.
    executor : concurrent.futures.Executor or None
        Where the runs go, one model with one seed each: a ``ProcessPoolExecutor``, Dask's
        ``Client(...).get_executor()``, or any other. The numbers do not depend on it. Runs in
        threads of one process take turns, since torch has one random state a process: correct,
        but no faster. None runs them here, one after the other.
    threads : int
        CPU threads of each run, in whatever process.
    progress : bool
        Show a bar, if the output is a terminal.
    **settings
        Further arguments of `fit`. ``weights`` may name the losses of all the models: each takes
        those that it has, and its own default for the others. Under ``checkpoint`` each run gets
        the folder ``<label>/<seed>``.

    Returns
    -------
    xarray.Dataset
        Over (model, seed, condition): accuracy, balanced_accuracy, loss; over model: parameters;
        over (model, seed, ...) what `measure` gives.

    Raises
    ------
    ValueError
        For unknown names, options, seeds, conditions, settings or losses in ``weights``, and for
        views without training or test rows, before anything is trained; for a bad value that
        only `fit` can see and that no run takes, with the model and the seed.
    ComparisonError
        When runs failed: names each, after all the others have been finished, and holds these.
    """
    plans, seeds, settings = _plans(models), list(check_seeds(seeds)), plain(settings)
    check_settings(settings)
    epochs, threads = check_count("epochs", epochs), check_count("threads", threads)
    absent = conditions(missing, check_is_views(views).dims)
    check_executor(executor, inspect)
    untrained = {}
    with ONE_AT_A_TIME, torch.random.fork_rng():
        for label, (name, options) in plans.items():
            model = untrained[label] = create_model(name, views.dims, views.classes, **options)
            check_views(model, views, "train")
            check_conditions(check_views(model, views, "test"), absent)
    own = _weights(settings.get("weights"), untrained)
    tasks = {
        (label, seed): Run(
            name,
            options,
            seed,
            views,
            epochs,
            missing,
            threads,
            settings | own[label] | _checkpoint(settings, label, seed),
            measure,
        )
        for label, (name, options) in plans.items()
        for seed in seeds
    }
    if executor is None:
        outcomes = here(tasks, inspect)
    else:
        outcomes = elsewhere(tasks, executor)
    finished: dict[Key, xr.Dataset] = {}
    failures: dict[Key, Exception] = {}
    with tqdm(outcomes, total=len(tasks), disable=None if progress else True) as bar:
        for (label, seed), outcome in bar:
            bar.set_description(f"{label}, seed {seed}")
            if isinstance(outcome, Exception):
                failures[label, seed] = outcome
            else:
                finished[label, seed] = outcome
    if failures:
        complain(failures, finished)
    sizes = {
        label: sum(weight.numel() for weight in model.parameters())
        for label, model in untrained.items()
    }
    dataset = _joined(finished, sizes, seeds)
    dataset.attrs = provenance(
        "models x seeds x conditions, test rows",
        data=views.name,
        dims=json.dumps(views.dims),
        rows=f"{len(views.train)} train, {len(views.test)} test",
        models=json.dumps(plans),
        epochs=epochs,
        settings=json.dumps(settings, default=str),
    )
    return dataset


def _joined(
    finished: Mapping[Key, xr.Dataset], sizes: Mapping[str, int], seeds: list[int]
) -> xr.Dataset:
    rows = [
        xr.concat(
            [finished[label, seed] for seed in seeds], dim="seed", combine_attrs="drop_conflicts"
        )
        for label in sizes
    ]
    dataset = xr.concat(rows, dim="model", combine_attrs="drop_conflicts", join="outer")
    dataset = dataset.assign_coords(
        model=("model", list(sizes), {"units": "1", "long_name": "model"}),
        seed=("seed", seeds, {"units": "1", "long_name": "seed"}),
    ).transpose("model", "seed", "condition", ...)
    dataset["parameters"] = (
        "model",
        list(sizes.values()),
        {"units": "1", "long_name": "number of parameters, encoders and head included"},
    )
    return dataset


def _weights(given: Any, models: Mapping[str, FusionModel]) -> dict[str, dict[str, Any]]:
    """{label: the argument ``weights`` of its `fit`, if it needs one}."""
    if not isinstance(given, Mapping):
        return {label: {} for label in models}  # None, or a weighting that is fit's to judge
    known = {label: model.loss_weights for label, model in models.items()}
    strange = sorted(set(map(str, given)) - set().union(*known.values()))
    if strange:
        losses = {label: sorted(names) for label, names in known.items()}
        raise ValueError(f"weights names {strange}, a loss of none of the models: {losses}")
    return {
        label: {"weights": {name: given.get(name, own) for name, own in default.items()}}
        for label, default in known.items()
    }


def _checkpoint(settings: Mapping[str, Any], label: str, seed: int) -> dict[str, Any]:
    """A folder of its own for the state of each run, where `fit` is to keep one."""
    if settings.get("checkpoint") is None:
        return {}
    name = quote(label, safe="")
    if not name.strip("."):  # "." and ".." would be other folders
        name = name.replace(".", "%2E")
    return {"checkpoint": os.path.join(settings["checkpoint"], name, str(seed))}


def check_settings(settings: Mapping[str, Any]) -> None:
    """ValueError for what `fit` has no argument for, and for a seed among the settings."""
    if "seed" in settings:
        raise ValueError("seed: give seeds, one for each repetition")
    accepted = signatures.signature(fit).parameters.values()
    names = {parameter.name for parameter in accepted if parameter.kind is parameter.KEYWORD_ONLY}
    unknown = sorted(set(settings) - names)
    if unknown:
        own = sorted(names - {"seed", "epochs", "progress"})
        raise ValueError(f"fit has no argument {', '.join(unknown)}; accepted are {own}")


def check_executor(executor: Any, inspect: Any = None) -> None:
    """ValueError for what is no executor, and for `inspect` beside one."""
    if executor is None:
        return
    if not callable(getattr(executor, "submit", None)):
        raise ValueError(
            "executor must be a concurrent.futures.Executor, for Dask "
            f"Client(...).get_executor(); found {type(executor).__name__}"
        )
    if inspect is not None:
        raise ValueError(
            "inspect needs the trained models, which stay with the executor; take executor=None"
        )


def _plans(models: Models) -> dict[str, tuple[str, dict[str, Any]]]:
    if isinstance(models, str) or not isinstance(models, Iterable):
        raise ValueError(f"models: got {models!r}; give a list of names or {{label: name}}")
    entries = models.items() if isinstance(models, Mapping) else [(m, m) for m in models]
    plans: dict[str, tuple[str, dict[str, Any]]] = {}
    for label, plan in entries:
        try:
            name, options = (plan, {}) if isinstance(plan, str) else plan
            options = plain(dict(options))
        except (TypeError, ValueError):
            raise ValueError(f"models: got {plan!r}; give a name or (name, options)") from None
        if str(label) in plans:
            raise ValueError(f"models: got {label!r} twice; give {{label: (name, options)}}")
        plans[str(label)] = (name, options)
    if not plans:
        raise ValueError("models: got none; give at least one name")
    return plans
