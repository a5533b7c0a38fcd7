"""Scores of models that are not told what is missing: its input is set to its training mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnpfuse.evaluation import evaluate
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.training import Training


def unaware(bench: Bench, training: Training) -> NDArray[np.float64]:
    """Test scores in percent with one modality missing, the mean over the modalities, (seeds,).

    The standardised input of the missing modality is 0, as in PMR's tables, and nothing behind the
    encoder knows. The model's own handling of what is absent, zero features and no biases, is what
    ``bench.accuracy(training, "each")`` gives.
    """
    views = bench.rows(training)
    found = []
    for seed in bench.seeds:
        model = bench.model(training, seed)
        model.fill_input = True
        found.append(float(evaluate(model, views, "each")[bench.score].sel(condition="each")))
    return 100 * np.array(found)
