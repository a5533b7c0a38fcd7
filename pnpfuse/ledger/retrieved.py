"""Retrieval scores of trained models, every modality searched by every other."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training
from pnpfuse.retrieval import retrieve
from pnpfuse.views import Views

ROWS = 1000  # of the test rows at most: every query is held against every item
WHAT = {
    "class": ("map_at_k", 10, "mAP@10 by class"),
    "pair": ("recall_at_k", 5, "R@5 of the pair"),
}


def some_rows(views: Views, count: int) -> Views:
    """At most so many rows, drawn once and for all."""
    if len(views) <= count:
        return views
    chosen = np.zeros(len(views), bool)
    chosen[np.random.default_rng(0).permutation(len(views))[:count]] = True
    return views.subset(chosen)


def retrieved(bench: Bench, training: Training, relevance: str = "class") -> NDArray[np.float64]:
    """mAP@10 by class, or R@5 of the pair, in percent, (seeds,): a mean over all directions.

    From the shared parts, each made of its own modality alone, among the test rows.
    """
    bench.need(2)
    variable, k, _ = WHAT[relevance]
    rows = some_rows(bench.views.test, ROWS)
    found = []
    for seed in bench.seeds:
        model = bench.model(training, seed)
        try:
            scores = [
                retrieve(model, rows, query, gallery, k=k, relevance=relevance)[variable].item()
                for query, gallery in permutations(bench.views.names, 2)
            ]
        except ValueError as error:
            raise CannotTry(f"no retrieval on these data: {error}") from error
        found.append(np.mean(scores))
    return 100 * np.array(found)


def named(relevance: str) -> str:
    """What `retrieved` scores."""
    return WHAT[relevance][2]
