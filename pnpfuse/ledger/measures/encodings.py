"""What trained models make of the data's rows, behind the encoders and behind the fusion."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views
from pnpfuse_analysis import conditional_entropy

ROWS = 1000  # at most, the same for all models
FEWEST = 100
FEWER_ROWS, FOLDS, PENALTY = 200, 3, 1e-2  # of a probe
Pair = tuple[Tensor, Tensor, Tensor]


class Encoded(NamedTuple):
    """The same rows at both places, on the CPU.

    Attributes
    ----------
    features : {modality: (rows, l_m)}, the encoders' output, float64
    fused : {modality: (rows, width)}, what the block makes of it, float64
    labels : int64 (rows,)
    present : {modality: bool (rows,)}
    """

    features: dict[str, Tensor]
    fused: dict[str, Tensor]
    labels: Tensor
    present: dict[str, Tensor]

    def pairs(self) -> list[Pair]:
        """(z_a, z_b, labels) of the rows that have both, of each pair of modalities."""
        found = []
        for a, b in combinations(self.features, 2):
            both = self.present[a] & self.present[b]
            found.append((self.features[a][both], self.features[b][both], self.labels[both]))
        if min(len(labels) for *_, labels in found) < 2:
            raise CannotTry("two modalities have no rows in common")
        return found


def encoded(
    bench: Bench, training: Training, seed: int, split: str = "test", *, complete: bool = False
) -> Encoded:
    """At most `ROWS` rows as a trained model sees them.

    Parameters
    ----------
    split : "test" or "train"
    complete : of the rows that have all modalities alone; CannotTry where there are too few
    """
    model, views = bench.model(training, seed), getattr(bench.rows(training), split)
    views = whole(views) if complete else drawn(views, ROWS, seed=0)
    X, labels = rows_for(model, views)
    masks = masks_for(model, views)
    with torch.no_grad():
        V = model.encode(X, masks)
        fused = model.fuse(V, masks).fused
    every = torch.ones_like(labels, dtype=torch.bool)
    return Encoded(_double(V), _double(fused), labels, masks or dict.fromkeys(V, every))


def whole(views: Views) -> Views:
    """At most `ROWS` rows that have all modalities; CannotTry where there are too few."""
    if views.present is not None:
        every = np.all(list(views.present.values()), axis=0)
        views = views.subset(every) if every.any() else views
        if every.sum() < FEWEST:
            raise CannotTry(f"needs {FEWEST} rows with all modalities; {every.sum()} have them")
    return drawn(views, ROWS, seed=0)


def joined(parts: Mapping[str, Tensor]) -> Tensor:
    """The parts side by side, (rows, sum of widths)."""
    return torch.cat(list(parts.values()), dim=1)


def left_of_labels(bench: Bench, labels: Tensor, Z: Tensor) -> float:
    """H(labels | Z) from above, nats: the loss of a linear probe on rows it has not seen.

    The penalty is fixed, so that the probe costs the same everywhere.
    """
    rows, folds = (slice(FEWER_ROWS), 2) if bench.quick else (slice(None), FOLDS)
    return float(conditional_entropy(labels[rows], Z[rows], folds=folds, penalty=PENALTY))


def _double(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {m: part.double() for m, part in parts.items()}
