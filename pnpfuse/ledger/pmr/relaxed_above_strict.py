"""The relaxed form of PMR above the strict one in retrieval."""

from __future__ import annotations

from functools import partial

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.retrieval import SEARCH, named, retrieved
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.training import Training

OURS, ROWS = {"rG-CMMP": Training("rg-cmmp")}, {"sG-CMMP": Training("sg-cmmp")}
RELEVANCE = "class"


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [*OURS.values(), *ROWS.values()]


def measure(bench: Bench) -> Found:
    """Scores of the retrieval, seed by seed."""
    bench.need(2)
    scores = partial(retrieved, bench, relevance=RELEVANCE)
    return against(bench, OURS, ROWS, measure=scores, score=named(RELEVANCE))


CLAIM = Claim(
    statement="In retrieval the relaxed form, preservation by cosine, slightly exceeds the strict "
    "one, preservation by squared error.",
    source="PMR Sec. 5.2.1, Table 3: rG-CMMP, sG-CMMP",
    protocol="rG-CMMP beside sG-CMMP, trained with class labels, the same encoders, seeds, epochs "
    f"and optimiser, preservation with weight 0.1: {named(RELEVANCE)}, where {SEARCH}.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
