"""Models x seeds x modalities: each modality in the joint model, beside that modality alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from pnpfuse.comparison import Models, compare
from pnpfuse.dominance.probing import SCORES, C, held, probe
from pnpfuse.fusion.arguments import check_seeds
from pnpfuse.fusion.registry import create_model
from pnpfuse.labels import TEST, TRAIN
from pnpfuse.provenance import provenance
from pnpfuse.views import Views, check_is_views

LONG_NAMES = {
    "only": "the joint model, all other modalities missing",
    "probe": "linear probe of what the joint model makes of the modality, the others missing",
    "probe_beside": "linear probe of what the joint model makes of it, the others present",
    "without": "the joint model, this modality missing",
    "alone": "an encoder and a linear head trained on the modality alone",
    "alone_probe": "linear probe of the encoder trained on the modality alone",
    "fused": "the joint model, all modalities present",
    "laziness": "alone_probe - probe: what the joint model has not learned of the modality",
    "underuse": "alone - only: what the joint model does not get out of the modality by itself",
    "contribution": "fused - without: what the modality adds to the others in the joint model",
    "gain": "fused - alone of the modality that is best alone in the mean over the seeds",
    "best": "the modality that is best alone in the mean over the seeds",
    "chance": "always naming the class that is most frequent in the test rows",
    "parameters": "number of parameters, encoders and head included",
}
COORDS = {
    "model": "model",
    "seed": "seed",
    "modality": "modality",
    "score": "accuracy, or the mean of it over the classes that occur",
}


def laziness(
    models: Models,
    views: Views,
    *,
    seeds: int | Iterable[int] = 5,
    epochs: int = 30,
    alone: str | tuple[str, Mapping[str, Any]] = "concat",
    executor: Executor | None = None,
    threads: int = 1,
    progress: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """What joint models have learned of each modality, beside the modality trained alone.

    Every model is trained with every seed, and so is a model on each modality alone, with the
    same settings. All scores are of the test rows; those of one modality are of the rows that
    have it.

    Parameters
    ----------
    models, epochs, executor, threads, progress
        As for `compare`.
    views : Views
        Of at least two modalities.
    seeds : int or iterable of int
        A count means 0, 1, ...; also of the trainings alone.
    alone : name or (name, options)
        What is trained on each modality alone; give it the encoder that the models have.
    **settings
        Further arguments of `fit`. The losses in ``weights`` are of the models, not of those
        alone.

    Returns
    -------
    xarray.Dataset
        Over (model, seed, modality, score): ``only``, ``probe``, ``probe_beside``, ``without``,
        and, seed by seed, ``laziness`` = alone_probe - probe, ``underuse`` = alone - only,
        ``contribution`` = fused - without; over (seed, modality, score): ``alone`` and
        ``alone_probe``; over (model, seed, score): ``fused`` and ``gain`` = fused - alone of the
        modality ``best`` (score). Shares of rows, from 0 to 1. Probes are held against probes and
        trained heads against trained heads: a head that was trained for some epochs and a
        regression that converged differ by points on the same features.

    Raises
    ------
    ValueError
        as `compare`; for views of one modality, or with a modality that training or test rows
        lack
    ComparisonError
        as `compare`
    """
    names = _check_modalities(views)
    _check_alone(alone, views)
    train = partial(
        compare, seeds=list(check_seeds(seeds)), epochs=epochs, measure=probe, executor=executor,
        threads=threads, progress=progress,
    )  # fmt: skip
    joint = train(models, views, missing="all", **settings)
    apart = {
        m: train({f"{m} alone": alone}, single(views, m), missing="none", **_own(settings, m))
        for m in names
    }
    dataset = _assembled(joint, apart)
    dataset["chance"] = ("score", _chance(views.test.labels))
    for name, said in (LONG_NAMES | COORDS).items():
        dataset[name].attrs = {"units": "1", "long_name": said}
    dataset.attrs = provenance(
        "what joint models have learned of each modality, test rows",
        **{name: joint.attrs[name] for name in ("data", "dims", "rows", "models", "epochs")},
        alone=json.dumps(alone),
        probe=f"logistic regression on standardised features, C = {C:g}",
        settings=joint.attrs["settings"],
    )
    return dataset


def single(views: Views, modality: str) -> Views:
    """The views of one modality, the rows that have it."""
    rows = views if views.present is None else views.subset(views.present[modality])
    return Views(
        {modality: rows.features[modality]},
        rows.labels,
        rows.split,
        rows.class_names,
        f"{views.name}, {modality} alone",
    )


def _assembled(joint: xr.Dataset, apart: Mapping[str, xr.Dataset]) -> xr.Dataset:
    names = list(apart)
    modality, score = xr.Variable("modality", names), xr.Variable("score", list(SCORES))

    def scores(found: xr.Dataset, condition: str) -> xr.DataArray:
        """(model, seed, score) of one condition."""
        values = xr.concat(
            [found[name] for name in SCORES], score, compat="override", coords="minimal"
        )
        return values.sel(condition=condition, drop=True).rename(None)

    def of_each(parts: Iterable[xr.DataArray]) -> xr.DataArray:
        return xr.concat(list(parts), modality, coords="minimal", compat="override")

    fused = scores(joint, "none")
    only = of_each(scores(joint, f"only:{m}") for m in names)
    without = of_each(scores(joint, f"missing:{m}") for m in names)
    first = {m: found.isel(model=0, drop=True) for m, found in apart.items()}
    alone = of_each(scores(found, "none") for found in first.values())
    alone_probe = of_each(found["probe"].isel(modality=0, drop=True) for found in first.values())
    best = alone.mean("seed").argmax("modality")  # (score,)
    dataset = xr.Dataset(
        {
            "only": only,
            "probe": joint["probe"],
            "probe_beside": joint["probe_beside"],
            "without": without,
            "alone": alone,
            "alone_probe": alone_probe,
            "fused": fused,
            "laziness": alone_probe - joint["probe"],
            "underuse": alone - only,
            "contribution": fused - without,
            "gain": fused - alone.isel(modality=best).drop_vars("modality"),
            "parameters": joint["parameters"],
        }
    )
    dataset = dataset.assign_coords(best=("score", np.array(names)[best.values]))
    return dataset.transpose("model", "seed", "modality", "score")


def _check_modalities(views: Views) -> list[str]:
    """The modalities, at least two; ValueError if one can be neither learned nor measured."""
    names = list(check_is_views(views).names)
    if len(names) < 2:
        raise ValueError(
            f"views has the one modality {names[0]}; laziness is of one beside others: give two"
        )
    for m in names:
        learned = views.labels[held(views, m)][views.split[held(views, m)] == TRAIN]
        if len(np.unique(learned)) < 2:
            raise ValueError(
                f"views has {m} in training rows of {len(np.unique(learned))} classes; a probe "
                "needs two"
            )
        if not (views.split[held(views, m)] == TEST).any():
            raise ValueError(f"views has no test rows with {m}; give some, or leave it out")
    return names


def _check_alone(alone: str | tuple[str, Mapping[str, Any]], views: Views) -> None:
    """ValueError, before anything is trained, for what no model of one modality can be made of."""
    try:
        name, options = (alone, {}) if isinstance(alone, str) else alone
        options = dict(options)
    except (TypeError, ValueError):
        raise ValueError(f"alone: got {alone!r}; give a name or (name, options)") from None
    with torch.random.fork_rng(devices=[]):
        for m, width in views.dims.items():
            create_model(name, {m: width}, views.classes, **options)


def _own(settings: Mapping[str, Any], modality: str) -> dict[str, Any]:
    """The settings of a training on one modality: no losses of other models, its own rows."""
    found = {name: value for name, value in settings.items() if name != "weights"}
    if isinstance(found.get("validation"), Views):
        found["validation"] = single(found["validation"], modality)
    return found


def _chance(labels: np.ndarray) -> list[float]:
    """Scores of always naming the most frequent class, in the order of SCORES."""
    counts = np.bincount(labels)
    return [float(counts.max() / len(labels)), float(1 / (counts > 0).sum())]
