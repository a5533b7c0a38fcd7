"""Accuracy of a trained model, with all modalities and with some of them missing."""

import json
from collections.abc import Iterable

import numpy as np
import torch
import xarray as xr
from sklearn.metrics import accuracy_score, recall_score
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.data import Views, check_is_views
from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.model import FusionModel, check_model
from pnpfuse.provenance import provenance

BATCH = 4096
MISSING = ("none", "each", "all")
SPLITS = ("train", "test")
VARIABLES = {
    "accuracy": "share of rows classified correctly",
    "balanced_accuracy": "mean over the classes that occur of the share classified correctly",
    "loss": "cross-entropy, mean over the rows",
}


def evaluate(
    model: FusionModel, views: Views, missing: str = "none", split: str = "test"
) -> xr.Dataset:
    """Dataset over `condition` with accuracy, balanced_accuracy and loss.

    Parameters
    ----------
    model : on any device; its training mode is put back afterwards
    views : the data
    missing : which conditions beside "none" (all present): "each" adds "missing:<m>" for every
        modality m and "each", their mean; "all" adds "only:<m>" as well
    split : "train" or "test"

    Raises
    ------
    ValueError
        for views that do not fit the model, an unknown `missing` or `split`, or a model whose
        logits are not finite
    """
    rows = check_views(model, views, split)
    names = list(model.dims)
    absent = conditions(missing, names)
    was_training = model.training
    model.eval()
    try:
        scores = {condition: _scores(model, rows, gone) for condition, gone in absent.items()}
    finally:
        model.train(was_training)
    if missing != "none":
        one_gone = np.array([scores[f"missing:{m}"] for m in names])  # (modality, variable)
        before_only = 1 + len(names)
        ordered = list(scores.items())
        ordered.insert(before_only, ("each", one_gone.mean(0).tolist()))
        scores = dict(ordered)
    return _dataset(scores, model, views, split, len(rows))


def conditions(missing: str, modalities: Iterable[str]) -> dict[str, set[str]]:
    """{condition: the modalities that it lacks} for a value of `missing`, "each" left out."""
    check_choice("missing", missing, MISSING)
    names = list(modalities)
    if missing != "none" and len(names) < 2:
        raise ValueError(f"missing={missing!r} needs two modalities; there is only {names}")
    absent: dict[str, set[str]] = {"none": set()}
    if missing != "none":
        absent |= {f"missing:{m}": {m} for m in names}
    if missing == "all":
        absent |= {f"only:{m}": set(names) - {m} for m in names}
    return absent


def check_views(model: FusionModel, views: Views, split: str) -> Views:
    """The rows of `split`, after a check that they fit the model."""
    check_model(model)
    check_is_views(views)
    check_choice("split", split, SPLITS)
    if views.dims != model.dims:
        raise ValueError(f"views has the widths {views.dims}; the model was made for {model.dims}")
    if views.classes != model.classes:
        raise ValueError(
            f"views has {views.classes} classes; the model was made for {model.classes}"
        )
    wanted = SPLITS.index(split)
    if not (views.split == wanted).any():
        raise ValueError(f"views has no {split} rows (split {wanted})")
    return views.train if split == "train" else views.test


def rows_for(model: FusionModel, views: Views) -> tuple[dict[str, Tensor], Tensor]:
    """Features {modality: (rows, d)} and labels (rows,), on the model's device in its dtype."""
    weight = next(model.parameters())
    features = {
        m: torch.from_numpy(X).to(weight.device, weight.dtype) for m, X in views.features.items()
    }
    return features, torch.from_numpy(views.labels).to(weight.device)


@torch.inference_mode()
def _scores(model: FusionModel, views: Views, gone: set[str]) -> list[float]:
    """The VARIABLES, in order, with the modalities in `gone` absent from every row."""
    features, labels = rows_for(model, views)  # each (rows, d), (rows,)
    logits = []
    for start in range(0, len(views), BATCH):
        batch = {m: X[start : start + BATCH] for m, X in features.items()}
        size = len(labels[start : start + BATCH])
        present = {m: torch.full((size,), m not in gone, device=labels.device) for m in batch}
        logits.append(model(batch, present if gone else None).logits)  # (batch, classes)
    joined = torch.cat(logits).cpu().double()  # (rows, classes)
    bad = int((~joined.isfinite()).any(1).sum())
    if bad:
        raise ValueError(
            f"model gives logits that are not finite for {bad} of {len(views)} rows; look for NaN "
            "in its weights and for extreme values in the features"
        )
    truth, found = views.labels, joined.argmax(-1).numpy()
    # The balanced accuracy, over the classes that occur: the others have no recall.
    recall = recall_score(truth, found, labels=np.unique(truth), average="macro", zero_division=0)
    loss = cross_entropy(joined, torch.from_numpy(truth)).item()
    return [float(accuracy_score(truth, found)), float(recall), loss]


def _dataset(
    scores: dict[str, list[float]], model: FusionModel, views: Views, split: str, rows: int
) -> xr.Dataset:
    table = np.array(list(scores.values()))  # (condition, variable)
    variables = {
        name: ("condition", table[:, i], {"units": "1", "long_name": long_name})
        for i, (name, long_name) in enumerate(VARIABLES.items())
    }
    condition = {"units": "1", "long_name": "which modalities are present"}
    dataset = xr.Dataset(variables, coords={"condition": ("condition", list(scores), condition)})
    dataset.attrs = provenance(
        "scores of a model with all modalities and with some of them missing",
        model=model.name,
        options=json.dumps(model.options),
        dims=json.dumps(model.dims),
        data=views.name,
        split=split,
        rows=rows,
    )
    return dataset
