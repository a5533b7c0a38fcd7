"""Retrieval scores of trained models across the modalities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training
from pnpfuse.retrieval import retrieve
from pnpfuse.views import Views

ROWS = 1000  # of the test rows at most: every query is held against every item
SEARCH = (
    "every modality of the test rows searches the next of the cycle and is searched by it, by the "
    "cosine of the shared parts, each made of its own modality alone; the mean over the directions"
)
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
    """mAP@10 by class, or R@5 of the pair, in percent, (seeds,): a mean over the directions.

    Every modality searches the next of the cycle and is searched by it, among the test rows, by
    the shared parts, each made of its own modality alone.
    """
    bench.need(2)
    variable, k, _ = WHAT[relevance]
    rows = some_rows(bench.views.test, ROWS)
    names = list(bench.views.names)
    next_ones = list(zip(names, names[1:] + names[:1], strict=True))
    directions = dict.fromkeys(next_ones + [(k, m) for m, k in next_ones])  # of two, once each
    found = []
    for seed in bench.seeds:
        model = bench.model(training, seed)
        try:
            scores = [
                retrieve(model, rows, query, gallery, k=k, relevance=relevance)[variable].item()
                for query, gallery in directions
            ]
        except ValueError as error:
            raise CannotTry(f"no retrieval on these data: {error}") from error
        found.append(np.mean(scores))
    return 100 * np.array(found)


def named(relevance: str) -> str:
    """What `retrieved` scores."""
    return WHAT[relevance][2]
