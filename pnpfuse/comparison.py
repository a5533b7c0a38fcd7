"""Methods side by side: models x seeds x missing modalities on the same rows."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import xarray as xr
from tqdm.auto import tqdm

from pnpfuse.data import Views, check_is_views
from pnpfuse.evaluation import check_views, conditions, evaluate
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model, plain
from pnpfuse.provenance import provenance
from pnpfuse.training import fit

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
        Called with (label, seed, model) after each training.
    progress : bool
        Show a bar, if the output is a terminal.
    **settings
        Further arguments of `fit`.

    Returns
    -------
    xarray.Dataset
        Over (model, seed, condition): accuracy, balanced_accuracy, loss; over model: parameters.

    Raises
    ------
    ValueError
        For unknown names, options, seeds or conditions, and for views without training or test
        rows, before anything is trained.
    """
    plans, seeds, settings = _plans(models), _seeds(seeds), plain(settings)
    if "seed" in settings:
        raise ValueError("seed: give seeds, one for each repetition")
    epochs = check_count("epochs", epochs)
    conditions(missing, check_is_views(views).dims)
    sizes = {}
    with torch.random.fork_rng():
        for label, (name, options) in plans.items():
            model = create_model(name, views.dims, views.classes, **options)
            check_views(model, views, "train")
            check_views(model, views, "test")
            sizes[label] = sum(weight.numel() for weight in model.parameters())
    rows = []
    with tqdm(total=len(plans) * len(seeds), disable=None if progress else True) as bar:
        for label, (name, options) in plans.items():
            results = []
            for seed in seeds:
                bar.set_description(f"{label}, seed {seed}")
                with torch.random.fork_rng():
                    torch.manual_seed(seed)  # initial weights
                    model = create_model(name, views.dims, views.classes, **options)
                fit(model, views, epochs=epochs, seed=seed, progress=False, **settings)
                results.append(evaluate(model, views, missing))
                if inspect is not None:
                    inspect(label, seed, model)
                bar.update()
            rows.append(xr.concat(results, dim="seed", combine_attrs="drop_conflicts"))
    dataset = xr.concat(rows, dim="model", combine_attrs="drop_conflicts", join="outer")
    dataset = dataset.assign_coords(
        model=("model", list(plans), {"units": "1", "long_name": "model"}),
        seed=("seed", seeds, {"units": "1", "long_name": "seed"}),
    ).transpose("model", "seed", "condition")
    dataset["parameters"] = (
        "model",
        [sizes[label] for label in plans],
        {"units": "1", "long_name": "number of parameters, encoders and head included"},
    )
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


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    try:
        given = list(seeds)  # type: ignore[arg-type]
    except TypeError:
        given = list(range(check_count("seeds", seeds)))
    listed = [check_count("seeds", seed, least=0) for seed in given]
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be a count or different numbers; found {seeds!r}")
    return listed
