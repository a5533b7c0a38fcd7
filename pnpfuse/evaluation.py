"""Accuracy of a trained model, with all modalities and with some of them missing."""

import json
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.model import FusionModel, check_model
from pnpfuse.provenance import provenance
from pnpfuse.views import Views, check_is_views

Presence = Mapping[str, NDArray[np.bool_]]
BATCH, BATCH_BYTES = 4096, 2**26  # most rows at once where no batch size is given
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
    views : the data, read batch by batch. Where samples lack modalities (`views.present`), these
        are absent in every condition; samples that a condition leaves with nothing are left out of
        it, and the variable ``rows`` says how many remain.
    missing : which conditions beside "none" (all present): "each" adds "missing:<m>" for every
        modality m and "each", their mean; "all" adds "only:<m>" as well
    split : "train" or "test"

    Raises
    ------
    ValueError
        for views that do not fit the model, an unknown `missing` or `split`, a condition that
        leaves no row, or a model whose logits are not finite
    """
    rows = check_views(model, views, split)
    names = list(model.dims)
    absent = conditions(missing, names)
    check_conditions(rows, absent)
    was_training = model.training
    model.eval()
    try:
        scores = _scores(model, rows, absent)
    finally:
        model.train(was_training)
    if missing != "none":
        one_gone = np.array([scores[f"missing:{m}"] for m in names])  # (modality, variable)
        scores["each"] = one_gone.mean(0).tolist()
        scores = {condition: scores[condition] for condition in condition_names(missing, names)}
    dataset = _dataset(scores, model, views, split, len(rows))
    if rows.present is not None:
        # "each" is a mean over conditions and has no rows of its own; those in any of them count.
        kept = [
            int(_kept(rows.present, absent.get(str(condition), set()), len(rows)).sum())
            for condition in dataset["condition"].values
        ]
        attrs = {"units": "1", "long_name": "samples that the condition leaves with a modality"}
        dataset["rows"] = ("condition", kept, attrs)
    return dataset


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


def condition_names(missing: str, modalities: Iterable[str]) -> list[str]:
    """The conditions that `evaluate` reports for a value of `missing`, in their order."""
    found = list(conditions(missing, modalities))
    if missing != "none":
        found.insert(sum(1 for name in found if not name.startswith("only:")), "each")
    return found


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


def check_conditions(views: Views, absent: Mapping[str, set[str]]) -> None:
    """ValueError if one of `conditions` leaves no sample of `views` with a modality."""
    present = views.present
    empty = [c for c, gone in absent.items() if not _kept(present, gone, len(views)).any()]
    if empty:
        raise ValueError(
            f"missing has conditions that leave no sample with a modality: {', '.join(empty)}; "
            "take missing='none', or other views"
        )


def rows_for(model: FusionModel, views: Views) -> tuple[dict[str, Tensor], Tensor]:
    """Features {modality: (rows, d)} and labels (rows,), on the model's device in its dtype.

    Lazy views are read whole; absent rows are zero.
    """
    features = views.read(np.arange(len(views))) if views.lazy else views.features
    return _tensors(model, features), torch.from_numpy(views.labels).to(_weight(model).device)


def masks_for(model: FusionModel, views: Views) -> dict[str, Tensor] | None:
    """Presence {modality: bool (rows,)} on the model's device, None if nothing is absent."""
    if views.present is None:
        return None
    device = _weight(model).device
    return {m: torch.from_numpy(mask).to(device) for m, mask in views.present.items()}


def in_order(count: int, dims: Mapping[str, int]) -> Iterator[NDArray[np.int64]]:
    """The row numbers 0..count-1, as many at a time as fit 64 MiB, 4096 at most."""
    size = max(1, min(BATCH, BATCH_BYTES // (4 * sum(dims.values()))))
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _tensors(model: FusionModel, features: Mapping[str, NDArray]) -> dict[str, Tensor]:
    weight = _weight(model)
    # torch warns of an array that cannot be written to, a memory map for example.
    given = {m: X if X.flags.writeable else X.copy() for m, X in features.items()}
    return {m: torch.from_numpy(X).to(weight.device, weight.dtype) for m, X in given.items()}


def _weight(model: FusionModel) -> Tensor:
    return next(model.parameters())


def _kept(present: Presence | None, gone: set[str], rows: int) -> NDArray[np.bool_]:
    """Which of some samples keep a modality when those in `gone` are missing, (rows,)."""
    if present is None:
        return np.ones(rows, bool)
    return np.any([mask for m, mask in present.items() if m not in gone], axis=0)


@torch.inference_mode()
def _scores(
    model: FusionModel, views: Views, absent: Mapping[str, set[str]]
) -> dict[str, list[float]]:
    """{condition: the VARIABLES, in order}; every batch is read once for all conditions."""
    found: dict[str, list[NDArray]] = {condition: [] for condition in absent}
    losses: dict[str, list[NDArray]] = {condition: [] for condition in absent}
    bad = 0
    for rows in in_order(len(views), views.dims):
        features = _tensors(model, views.read(rows))  # each (batch, d)
        labels = torch.from_numpy(views.labels[rows])  # (batch,)
        had = views.read_present(rows)
        for condition, gone in absent.items():
            keep = torch.from_numpy(_kept(had, gone, len(rows)))  # (batch,)
            if not keep.any():
                continue
            logits = _logits(model, features, had, gone, keep)  # (kept, classes)
            logits = logits.cpu().double()
            bad += int((~logits.isfinite()).any(1).sum())
            found[condition].append(logits.argmax(-1).numpy())
            losses[condition].append(
                cross_entropy(logits, labels[keep], reduction="none").numpy()  # (kept,)
            )
    if bad:
        raise ValueError(
            f"model gives logits that are not finite for {bad} of {len(absent) * len(views)} rows "
            "over all conditions; look for NaN in its weights and for extreme values in the "
            "features"
        )
    return {
        condition: _score(
            views.labels[_kept(views.present, gone, len(views))],
            np.concatenate(found[condition]),
            np.concatenate(losses[condition]),
        )
        for condition, gone in absent.items()
    }


def _logits(
    model: FusionModel,
    features: dict[str, Tensor],
    had: Presence | None,
    gone: set[str],
    keep: Tensor,
) -> Tensor:
    """Logits (kept, classes) of some rows of a batch, without the modalities in `gone`."""
    device = _weight(model).device
    if had is None:
        present = {m: torch.full((len(keep),), m not in gone, device=device) for m in features}
        return model(features, present if gone else None).logits
    here = keep.to(device)
    masks = {m: torch.from_numpy(had[m]).to(device) & (m not in gone) for m in features}
    batch = {m: X[here] for m, X in features.items()}  # each (kept, d)
    return model(batch, {m: mask[here] for m, mask in masks.items()}).logits


def accuracies(truth: NDArray[np.int64], found: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy and balanced accuracy of what was found for some rows, both (rows,)."""
    right = found == truth  # (rows,)
    counts = np.bincount(truth)  # (classes,)
    occur = counts > 0  # the others have no recall
    recall = np.bincount(truth, right)[occur] / counts[occur]
    return float(right.mean()), float(recall.mean())


def _score(truth: NDArray, found: NDArray, losses: NDArray) -> list[float]:
    """The VARIABLES, in order, of some rows (N,)."""
    return [*accuracies(truth, found), float(losses.mean())]


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
