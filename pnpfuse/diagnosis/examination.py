"""Three questions to a model: do its losses fight, do its features collapse, and what do they know
of the labels and of each other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import torch
import xarray as xr
from torch import nn

from pnpfuse.diagnosis.dataset import MEASURES, as_dataset
from pnpfuse.diagnosis.fusion_points import drawn, fusion_pairs, see_fusion
from pnpfuse.diagnosis.jobs import measure_all
from pnpfuse.diagnosis.loader_points import Labels, Losses, see_batches
from pnpfuse.diagnosis.meanings import fusion_meanings, place_meanings
from pnpfuse.diagnosis.measures import MISSING, NULL
from pnpfuse.diagnosis.observation import Features, left_as_found
from pnpfuse.diagnosis.points import Spec, find_points
from pnpfuse.evaluation import check_views
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.model import FusionModel
from pnpfuse.provenance import provenance
from pnpfuse.views import Views

_SHOWN = 8  # places in a note


def diagnose(
    model: nn.Module,
    data: Views | Iterable[Any],
    *,
    points: Mapping[str, Spec] | Iterable[str] | None = None,
    losses: Losses | None = None,
    labels: Labels | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    main: str | None = None,
    only: Iterable[str] = MEASURES,
    neighbours: int = 10,
    components: int = 3,
    max_rows: int = 2048,
    seed: int = 0,
    progress: bool = False,
) -> xr.Dataset:
    """Diagnose a model at named points: conflict between losses, smoothness, geometry, information.

    Parameters
    ----------
    model : nn.Module
        Any torch model. It is left as it was: modes, hooks, gradients and random state.
    data : Views or iterable of batches
        Views, for a `FusionModel`: gradients are those on the training rows, all else is measured
        on the test rows; where samples lack modalities, the model is told so as in training, and
        the numbers of a point are those of the rows that have it. Or batches of any kind for any
        model, a DataLoader for example; they are moved to the model's device.
    points : {label: spec} or names
        Where to look: a module's dotted name or the module itself, for its output, or a pair of it
        and "input" or "output". None: for a plain model the input of its last Linear. A fusion
        model on views always has the points "encoder output" and "bottleneck", of all modalities
        together and of each ("bottleneck: image"), and "shared: ..." and "specific: ..." where its
        block has such parts; `points` are further ones.
    losses : function of (model, batch)
        Runs the model and returns {name: scalar loss}, means over the batch. None: the
        cross-entropy of a batch (x, y). A fusion model on views has its own: "task", and those of
        its block and head, not weighted.
    labels : function of a batch
        Returns the classes, whole numbers (rows,). None: y of a batch (x, y), if it holds such.
    pairs : pairs of points
        Between which information, and in spaces of equal width alignment and gap, are measured.
        None: all pairs of `points` for a plain model; the modalities, and the shared and specific
        parts, for a fusion model.
    main : str
        The loss that the others are compared with; None, the first.
    only : names among "gradients", "smoothness", "geometry", "information", "labels"
        What to measure. "labels" takes most of the time: a probe is cross-validated at each point.
    neighbours : int
        Of the graph of nearest neighbours on which smoothness is measured.
    components : int
        Principal components kept of each point for entropy and mutual information: nearest-
        neighbour estimators lose track in many dimensions.
    max_rows : int
        Rows looked at, at most, which bounds memory: drawn with the seed from views or the data
        set of a DataLoader, else the first ones. Attribute "rows" says what was taken.
    seed : int
        Of that draw, of a random forward pass, of folds, subsamples and permutations.
    progress : bool
        Show a bar, if the output is a terminal.

    Returns
    -------
    xarray.Dataset
        Over "loss" (those beside the main one), "point" and "row": gradient_cosine, conflict_rate
        with its interval, median_cosine, undefined_rate, gradient_ratio, sample_cosine. Over
        "point": chance_cosine, relative_spread, dirichlet_energy, rayleigh_quotient and
        mean_average_distance (each beside that of noise), effective_rank beside width, uniformity,
        entropy, kept_variance, label_information with its interval beside label_entropy. Over
        ("point", "other_point"): cka. Over "pair": alignment, modality_gap, mutual_information
        with its interval, null and p-value. Variables that nothing here has a value for are left
        out, single ones that are not defined are NaN; attribute "notes" says why, and which rows
        were left out because they are not finite. Attribute "meanings" (JSON) says what each point
        holds.

    Raises
    ------
    ValueError
        For arguments that do not fit each other, naming the one.

    References
    ----------
    PMR Sec. 5.5 (gradient conflict); SCOPE App. C (Dirichlet energy); Kraskov, Stoegbauer and
    Grassberger, Phys. Rev. E 69 (2004) 066138.
    """
    chosen = _chosen(only)
    settings = {
        "neighbours": check_count("neighbours", neighbours),
        "components": check_count("components", components),
        "max_rows": check_count("max_rows", max_rows),
        "seed": check_count("seed", seed, least=0),
    }
    if isinstance(data, Views):
        if losses is not None or labels is not None:
            raise ValueError("losses and labels belong to batches; views and their model have both")
        fusion = cast(FusionModel, model)  # which `check_views` looks at
        train, test = (check_views(fusion, data, split) for split in ("train", "test"))
    elif not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module; found {type(model).__name__}")
    elif (
        isinstance(data, str | torch.Tensor | Mapping)
        or not isinstance(data, Iterable)
        or (isinstance(data, tuple) and all(isinstance(part, torch.Tensor) for part in data))
    ):
        raise ValueError(
            f"data must be Views or an iterable of batches; found {type(data).__name__}; a batch "
            "alone goes into a list"
        )
    with left_as_found(model, seed):
        if isinstance(data, Views):
            places, how = find_points(model, points) if points is not None else ({}, "the model's")
            train, test = drawn(train, max_rows, seed), drawn(test, max_rows, seed)
            conflict = see_fusion(fusion, train, places, main=main)[1]
            seen = see_fusion(fusion, test, places, main=main)[0]
            rows = f"{len(train)} train (gradients), {len(test)} test (all else)"
            wanted = fusion_pairs(fusion, seen.values)
            meanings = fusion_meanings(fusion, seen.values)
        else:
            places, how = find_points(model, points)
            seen, conflict, rows = see_batches(
                model, data, places, losses=losses, labels=labels, main=main, rows=max_rows,
                seed=seed,
            )  # fmt: skip
            wanted, meanings = list(combinations(seen.values, 2)), {}
        meanings |= place_meanings(model, places)
    if pairs is not None:
        wanted = _checked_pairs(pairs, seen)
    seen.leave_out_broken()
    with torch.no_grad():
        measured, coords = measure_all(chosen, seen, conflict, wanted, settings, progress)
    attrs = provenance(
        "diagnostics of a model",
        model=model.name if isinstance(model, FusionModel) else type(model).__name__,
        data=data.name if isinstance(data, Views) else type(data).__name__,
        points=how,
        rows=rows,
        main=conflict.main,
        meanings=json.dumps(meanings),
        shuffles=NULL,
        **settings,
    )
    if isinstance(model, FusionModel):
        attrs["options"] = json.dumps(model.options)
    if measured.notes:
        # What is missing first; `sorted` keeps the order otherwise.
        notes = sorted(measured.notes.items(), key=lambda note: not note[0].startswith(MISSING))
        attrs["notes"] = "\n".join(_note(said, where) for said, where in notes)
    return as_dataset(measured.found(), coords, attrs)


def _note(said: str, where: Sequence[str]) -> str:
    more = f"; and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
    return f"{said} ({'; '.join(where[:_SHOWN])}{more})"


def _chosen(only: Iterable[str]) -> list[str]:
    chosen = [only] if isinstance(only, str) else list(only)
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown or not chosen:
        raise ValueError(f"only must be some of {list(MEASURES)}; found {chosen}")
    return chosen


def _checked_pairs(pairs: Sequence[tuple[str, str]], seen: Features) -> list[tuple[str, str]]:
    for pair in pairs:
        fits = isinstance(pair, tuple | list) and len(pair) == 2
        if not fits or any(point not in seen.values for point in pair):
            raise ValueError(f"pairs has {pair!r}; give pairs of the points {list(seen.values)}")
    return [(first, second) for first, second in pairs]
