"""The points of a fusion model, seen on views: encoders' output, bottleneck, and their parts."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.diagnosis.observation import Conflict, Features, check_losses, passed
from pnpfuse.diagnosis.points import Place, watched
from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.views import Views

TASK = "task"
ENCODED, FUSED, SHARED, SPECIFIC = "encoder output", "bottleneck", "shared", "specific"
Masks = Mapping[str, Tensor] | None


class Seen(NamedTuple):
    """A point: tensors to take gradients at, features (N, d), and which rows have it."""

    tensors: list[Tensor]
    values: Tensor
    present: Tensor | None


def drawn(views: Views, rows: int, seed: int) -> Views:
    """At most so many rows, drawn with the seed, in the order that they have."""
    if len(views) <= rows:
        return views
    chosen = np.zeros(len(views), bool)
    chosen[np.random.default_rng(seed).choice(len(views), rows, replace=False)] = True
    return views.subset(chosen)


def see_fusion(
    model: FusionModel, views: Views, places: Mapping[str, Place], *, main: str | None = None
) -> tuple[Features, Conflict]:
    """Features and gradients of one pass over all the rows of `views`.

    Parameters
    ----------
    model : in evaluation mode
    views : the rows, already few enough
    places : further points, {label: (module, side)}
    main : the loss that the others are compared with; None, the task's
    """
    X, labels = rows_for(model, views)
    masks = masks_for(model, views)
    with watched(places) as passing, _block_inputs(model) as inputs:
        output = model(X, masks, labels)
    seen = _seen(model, inputs[0], output.fusion, masks)
    notes: dict[str, list[str]] = {}
    for label, calls in passing.items():
        tensors, values, said = passed(label, calls)
        for note in dict.fromkeys(said):
            notes.setdefault(note, []).append(label)
        if label in seen or len(values) != len(views):
            raise ValueError(
                f"points[{label!r}] must be another name than {list(seen)}, at a place with one "
                f"row a sample; found {len(values)} rows for {len(views)} samples"
            )
        seen[label] = Seen(tensors, values, None)
    losses = {TASK: cross_entropy(output.logits, labels), **output.losses}
    conflict = Conflict(check_losses(losses, main))
    if len(losses) > 1:
        conflict.add(losses, {point: list(one.tensors) for point, one in seen.items()})
    return (
        Features(
            {point: one.values for point, one in seen.items()},
            {point: one.present for point, one in seen.items() if one.present is not None},
            labels,
            {point: point.partition(":")[0] for point in seen if point not in places},
            notes,
        ),
        conflict,
    )


def fusion_pairs(model: FusionModel, points: Container[str]) -> list[tuple[str, str]]:
    """Pairs among the points between which information is of interest.

    Of each two modalities the encoders' outputs and the shared parts; then `part_pairs`.
    """
    pairs = [
        (_at(stage, m), _at(stage, k))
        for stage in (ENCODED, SHARED)
        for m, k in combinations(model.dims, 2)
    ]
    return [pair for pair in pairs + part_pairs(model) if all(one in points for one in pair)]


def part_pairs(model: FusionModel) -> list[tuple[str, str]]:
    """Of each modality its own shared and specific part, then the received and its specific one.

    The shared part that a modality receives stands beside its specific part in Z.
    """
    source = sources(model)
    own = [(_at(SHARED, m), _at(SPECIFIC, m)) for m in source]
    return own + [(_at(SHARED, k), _at(SPECIFIC, m)) for m, k in source.items() if k != m]


def _seen(model: FusionModel, V: dict[str, Tensor], fusion: FusionOutput, masks: Masks) -> dict:
    """{point: Seen}, first those of all modalities together."""
    source = sources(model)

    def both(*modalities: str) -> Tensor | None:
        return None if masks is None else torch.stack([masks[m] for m in modalities]).all(0)

    parts = {m: [z] for m, z in fusion.fused.items()}
    if fusion.specific:
        # Not the fused tensors made of them: a head that takes the parts passes these by.
        parts = {m: [fusion.shared[m], fusion.specific[m]] for m in fusion.fused}
    seen = {
        ENCODED: Seen(list(V.values()), torch.cat(list(V.values()), -1).detach(), None),
        FUSED: Seen(
            [t for tensors in parts.values() for t in tensors],
            torch.cat(list(fusion.fused.values()), -1).detach(),
            None,
        ),
    }
    if len(V) > 1:
        seen |= {_at(ENCODED, m): Seen([v], v.detach(), both(m)) for m, v in V.items()}
    if len(fusion.fused) > 1:
        seen |= {
            _at(FUSED, m): Seen(parts[m], z.detach(), both(m, source[m]))
            for m, z in fusion.fused.items()
        }
    own = {source[m]: part for m, part in fusion.shared.items()}
    for stage, found in ((SHARED, own), (SPECIFIC, fusion.specific)):
        for m in [m for m in V if m in found]:
            seen[_at(stage, m)] = Seen([found[m]], found[m].detach(), both(m))
    return seen


def sources(model: FusionModel) -> dict[str, str]:
    """{modality: the one whose shared part it has in Z}."""
    block = model.block
    return {m: block.source_of(m) if isinstance(block, Exchange) else m for m in model.dims}


def _at(stage: str, modality: str) -> str:
    return f"{stage}: {modality}"


@contextmanager
def _block_inputs(model: FusionModel) -> Iterator[list[dict[str, Tensor]]]:
    """Catch V as the block and a companion are given it, every entry requiring a gradient."""
    caught: list[dict[str, Tensor]] = []

    def catch(module, args):
        V = {m: v if v.requires_grad else v.detach().requires_grad_() for m, v in args[0].items()}
        caught.append(V)
        return V, *args[1:]

    def repeat(module, args):
        return caught[-1], *args[1:]

    handles = [model.block.register_forward_pre_hook(catch)]
    if model.bridge is not None:  # called after the block
        handles.append(model.bridge.register_forward_pre_hook(repeat))
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()
