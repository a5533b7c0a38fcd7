"""What trained models make of rows that they were not trained on, for estimators to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import rows_for
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views
from pnpfuse_analysis import conditional_entropy

ROWS = 1000
FEWEST = 100
FEWER_ROWS, FOLDS, PENALTY = 200, 3, 1e-2  # of a probe


class Encoded(NamedTuple):
    """Rows behind the encoders and behind the fusion.

    Attributes
    ----------
    features : {modality: (rows, l_m)}, the encoders' output
    fusion : what the block makes of it
    labels : int64 (rows,)
    """

    features: dict[str, Tensor]
    fusion: FusionOutput
    labels: Tensor


def encoded(bench: Bench, training: Training, seed: int, split: str = "test") -> Encoded:
    """At most `ROWS` rows with all modalities, as a trained model sees them; on the CPU."""
    model = bench.model(training, seed)
    views = whole(getattr(bench.rows(training), split))
    with torch.no_grad():
        X, labels = rows_for(model, views)
        V = model.encode(X)
        fusion = model.fuse(V)
    return Encoded({m: v.cpu() for m, v in V.items()}, fusion, labels.cpu())


def whole(views: Views) -> Views:
    """At most `ROWS` rows that have all modalities; CannotTry where there are too few."""
    if views.present is not None:
        every = np.all(list(views.present.values()), axis=0)
        views = views.subset(every) if every.any() else views
        if every.sum() < FEWEST:
            raise CannotTry(f"needs {FEWEST} rows with all modalities; {every.sum()} have them")
    return drawn(views, ROWS, seed=0)


def joined(parts: Mapping[str, Tensor]) -> Tensor:
    """The parts side by side, (rows, sum of widths), in double precision on the CPU."""
    return torch.cat([part.detach().cpu().double() for part in parts.values()], dim=1)


def left_of_labels(bench: Bench, labels: Tensor, Z: Tensor) -> float:
    """H(labels | Z) from above, nats: the loss of a linear probe on rows it has not seen.

    The penalty is fixed, so that the probe costs the same everywhere.
    """
    rows, folds = (slice(FEWER_ROWS), 2) if bench.quick else (slice(None), FOLDS)
    return float(conditional_entropy(labels[rows], Z[rows], folds=folds, penalty=PENALTY))
