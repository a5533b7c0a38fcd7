"""What the points of a diagnosis hold, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from pnpfuse.diagnosis.fusion_points import ENCODED, FUSED, SHARED, SPECIFIC, sources
from pnpfuse.diagnosis.points import Place
from pnpfuse.fusion.model import FusionModel


def place_meanings(model: nn.Module, places: Mapping[str, Place]) -> dict[str, str]:
    """{point: which side of which module it is}."""
    names = {module: name for name, module in model.named_modules()}
    return {
        label: f"the {side} of {names[module] or 'the model'}, a {type(module).__name__}"
        for label, (module, side) in places.items()
    }


def fusion_meanings(model: FusionModel, points: Iterable[str]) -> dict[str, str]:
    """{point: what it holds in this model}, of the points that a fusion model always has."""
    points = list(points)
    source = sources(model)
    receiver = {k: m for m, k in source.items()}
    found = {}
    for point in points:
        stage, _, m = point.partition(": ")
        if point == ENCODED:
            found[point] = f"what the fusion block is given, side by side: {', '.join(model.dims)}"
        elif point == FUSED:
            found[point] = "what the fusion block hands to the head, all of it side by side"
        elif stage == ENCODED:
            found[point] = f"what the fusion block is given of {m}"
        elif stage == FUSED and f"{SPECIFIC}: {m}" in points:
            of = "its own" if source[m] == m else f"that received from {source[m]}"
            found[point] = f"the entry of {m}: a shared part, {of}, beside the specific part of {m}"
        elif stage == FUSED:
            found[point] = f"the entry of {m} that the fusion block hands on"
        elif stage == SHARED:
            to = receiver.get(m, m)
            where = "" if to == m else f"; it is handed to {to}"
            found[point] = f"the shared part made from {m}{where}"
        elif stage == SPECIFIC:
            found[point] = f"the part of {m} that stays with {m}"
    return found
