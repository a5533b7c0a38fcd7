"""What trained encoders make of the data's rows."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training

ROWS = 1000  # that distances between all pairs of rows are taken over
Pair = tuple[Tensor, Tensor, Tensor]


class Encoded(NamedTuple):
    """Features {modality: (rows, l)}, labels (rows,), presence {modality: bool (rows,)}."""

    V: dict[str, Tensor]
    labels: Tensor
    present: dict[str, Tensor]

    def pairs(self) -> list[Pair]:
        """(z_a, z_b, labels) of the rows that have both, of each pair of modalities."""
        found = []
        for a, b in combinations(self.V, 2):
            both = self.present[a] & self.present[b]
            found.append((self.V[a][both], self.V[b][both], self.labels[both]))
        if min(len(labels) for *_, labels in found) < 2:
            raise CannotTry("two modalities have no rows in common")
        return found


def encoded(bench: Bench, training: Training, seed: int, part: str = "test") -> Encoded:
    """The encoders' output for at most `ROWS` rows of "test" or "train", the same for all models.

    In float64.
    """
    model, views = bench.model(training, seed), drawn(getattr(bench.views, part), ROWS, 0)
    X, labels = rows_for(model, views)
    masks = masks_for(model, views)
    with torch.no_grad():
        V = {m: v.double() for m, v in model.encode(X, masks).items()}
    every = torch.ones_like(labels, dtype=torch.bool)
    return Encoded(V, labels, masks or dict.fromkeys(V, every))
