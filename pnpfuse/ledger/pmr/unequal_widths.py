"""Unequal widths kept beside all modalities mapped to one width."""

from __future__ import annotations

from functools import partial

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.retrieval import SEARCH, named, retrieved
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.measures.table7 import linear, unequal
from pnpfuse.ledger.training import Training

OURS = {"unequal widths": Training("rg-cmmp")}
RELEVANCE = "class"


def rows(bench: Bench) -> dict[str, Training]:
    """The same model, its encoders mapping to l*; CannotTry where they do so anyway."""
    bench.need(2)
    if not unequal(bench):
        raise CannotTry(f"the encoders of {bench.views.name} have one width: nothing is unequal")
    return {"one width": Training("rg-cmmp", linear(bench))}


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    return [*rows(bench).values(), *OURS.values()]


def measure(bench: Bench) -> Found:
    """Scores of the retrieval, seed by seed."""
    scores = partial(retrieved, bench, relevance=RELEVANCE)
    return against(bench, OURS, rows(bench), measure=scores, score=named(RELEVANCE))


CLAIM = Claim(
    statement="PMR retrieves better with the modalities' unequal widths than with all mapped to "
    "the narrowest one.",
    source="PMR Sec. 5.2.1, Table 3: rG-CMMP 4096-128, 128-128",
    protocol="rG-CMMP with the encoders' own widths beside rG-CMMP whose encoders end at the "
    "narrowest of them, so that the shared parts are as wide in both, the same seeds, epochs and "
    f"optimiser: {named(RELEVANCE)}, where {SEARCH}.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
