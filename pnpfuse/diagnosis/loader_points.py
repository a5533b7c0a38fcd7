"""The points of any torch model, seen on batches of a user's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, Subset

from pnpfuse.diagnosis.observation import Conflict, Features, check_losses, passed
from pnpfuse.diagnosis.points import Place, watched

Losses = Callable[[nn.Module, Any], Mapping[str, Tensor]]
Labels = Callable[[Any], Tensor]


def classification(model: nn.Module, batch: Any) -> dict[str, Tensor]:
    """{"cross-entropy": loss} of a batch (x, y): what is taken where no losses are given."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(
            f"losses is needed for batches that are not (x, y); found {type(batch).__name__}: give "
            "a function of (model, batch) that returns {name: scalar loss}"
        )
    output = model(batch[0])
    logits, labels = getattr(output, "logits", output), batch[1]
    fits = isinstance(logits, Tensor) and isinstance(labels, Tensor)
    if not (fits and logits.ndim == 2 and labels.dtype == torch.int64 and labels.ndim == 1):
        raise ValueError(
            "losses is needed unless the model gives logits (rows, classes) for labels int64 "
            f"(rows,); found {_said(logits)} for {_said(labels)}: give a function of (model, "
            "batch) that returns {name: scalar loss}"
        )
    return {"cross-entropy": cross_entropy(logits, labels)}


def see_batches(
    model: nn.Module,
    batches: Iterable[Any],
    places: Mapping[str, Place],
    *,
    losses: Losses | None = None,
    labels: Labels | None = None,
    main: str | None = None,
    rows: int = 2048,
    seed: int = 0,
) -> tuple[Features, Conflict, str]:
    """Features and gradients batch by batch, and in words which rows were taken.

    Parameters
    ----------
    model : in evaluation mode
    batches : any iterable, moved to the model's device one by one
    places : {label: (module, side)}
    losses : function of (model, batch), {name: scalar loss}; None, `classification`
    labels : function of a batch, int64 (rows,); None, the second of two if it looks like that
    main : the loss that the others are compared with; None, the first
    rows : at most so many
    seed : of the draw from a larger data set

    Raises
    ------
    ValueError
        for losses, labels, points or batches that do not fit, saying which
    """
    batches, taken = _draw(batches, rows, seed)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    values: dict[str, list[Tensor]] = {label: [] for label in places}
    known: list[Tensor] = []
    notes: dict[str, list[str]] = {}
    conflict: Conflict | None = None
    count = 0
    for batch in batches:
        batch = _moved(batch, device)
        with watched(places) as passing:
            found = (losses or classification)(model, batch)
        chosen = check_losses(found, main if conflict is None else conflict.main)
        seen = {label: passed(label, calls) for label, calls in passing.items()}
        size = _size({label: one.values for label, one in seen.items()})
        if not size:
            continue
        conflict = conflict or Conflict(chosen)
        if len(found) > 1:
            at = {label: one.tensors for label, one in seen.items()}
            conflict.add(found, at, rows - count)
        for label, one in seen.items():
            values[label].append(one.values[: rows - count])
            for said in one.notes:
                if label not in notes.setdefault(said, []):
                    notes[said].append(label)
        own = _labels(batch, labels, size)
        if own is not None:
            known.append(own[: rows - count])
        count += size
        if count >= rows:
            break
    if conflict is None:
        raise ValueError("data gave no batch with rows; give a loader or a list with at least one")
    for label, parts in values.items():
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise ValueError(
                f"points[{label!r}] must have as many features in every batch; found {widths}"
            )
    joined = {label: torch.cat(parts) for label, parts in values.items()}
    complete = torch.cat(known) if sum(map(len, known)) == min(count, rows) else None
    seen_all = Features(joined, labels=complete, notes=notes)
    return seen_all, conflict, taken.format(min(count, rows))


def _draw(batches: Iterable[Any], rows: int, seed: int) -> tuple[Iterable[Any], str]:
    """The batches to look at, and how to say so."""
    first = f"the first {{}} that the loader gave, at most {rows}"
    if not isinstance(batches, DataLoader) or batches.batch_size is None:
        return batches, first
    dataset: Any = batches.dataset
    plain = isinstance(batches.sampler, SequentialSampler | RandomSampler)
    if not plain or len(dataset) <= rows:
        return batches, first
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(dataset), generator=generator)[:rows].tolist()
    loader = DataLoader(
        Subset(dataset, chosen),
        batch_size=batches.batch_size,
        collate_fn=batches.collate_fn,
        num_workers=batches.num_workers,
    )
    return loader, f"{{}} of {len(dataset)}, drawn with seed {seed}"


def _size(seen: Mapping[str, Tensor]) -> int:
    """The rows of a batch, on which all points must agree."""
    rows = {label: len(features) for label, features in seen.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(
            f"points must have one row a sample, along the first axis; found {rows} rows in a batch"
        )
    return next(iter(rows.values()))


def _labels(batch: Any, labels: Labels | None, size: int) -> Tensor | None:
    if labels is None:
        given = batch[1] if isinstance(batch, tuple | list) and len(batch) == 2 else None
        fits = isinstance(given, Tensor) and given.dtype == torch.int64 and given.shape == (size,)
        return given if fits else None
    found = labels(batch)
    if not isinstance(found, Tensor) or found.is_floating_point() or found.shape != (size,):
        raise ValueError(
            f"labels must give whole numbers of shape ({size},) for a batch; found {_said(found)}"
        )
    return found.to(torch.int64)


def _moved(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on the device; what holds them is copied."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        moved = copy.copy(batch)
        for key, entry in batch.items():
            moved[key] = _moved(entry, device)  # type: ignore[index]
        return moved
    if isinstance(batch, tuple | list):
        entries = [_moved(entry, device) for entry in batch]
        return type(batch)(*entries) if hasattr(batch, "_fields") else type(batch)(entries)
    return batch


def _said(value: Any) -> str:
    return (
        f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    )
