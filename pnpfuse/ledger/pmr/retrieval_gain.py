"""PMR above plain contrastive pairing in retrieval across modalities."""

from __future__ import annotations

from functools import partial

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.retrieval import SEARCH, named, retrieved
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    ONE_FORM,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.measures.table7 import OURS_CMMP
from pnpfuse.ledger.training import Training

ROWS = {"CMMP": Training("cmmp")}
RELEVANCE = "class"


def trainings(bench: Bench) -> list[Training]:
    """All."""
    bench.need(2)
    return [*ROWS.values(), *OURS_CMMP.values()]


def measure(bench: Bench) -> Found:
    """Scores of the retrieval, seed by seed."""
    bench.need(2)
    scores = partial(retrieved, bench, relevance=RELEVANCE)
    return against(bench, OURS_CMMP, ROWS, measure=scores, score=named(RELEVANCE))


CLAIM = Claim(
    statement="In retrieval across modalities PMR with the contrastive head leads: it is above "
    "CMMP.",
    source="PMR Sec. 5.2.1, Table 3",
    protocol="rG-CMMP and sG-CMMP beside CMMP, trained with class labels and their own losses (the "
    "paper's retrieval models have the contrastive loss alone), the same encoders, seeds, epochs "
    f"and optimiser: {named(RELEVANCE)}, where {SEARCH}.",
    threshold=f"{ALL_ABOVE}; {ONE_FORM}",
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
