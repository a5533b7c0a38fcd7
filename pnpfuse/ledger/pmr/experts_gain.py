"""A mixture of experts on the shared parts beside none."""

from __future__ import annotations

from functools import partial

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.retrieval import SEARCH, named, retrieved
from pnpfuse.ledger.measures.several import ALL_ABOVE, against, hurried, say_scores, shortfall
from pnpfuse.ledger.training import Training

OURS = {"rG-UMoE": Training("rg-cmmp", {"experts": "moe"})}
ROWS = {"rG-CMMP": Training("rg-cmmp")}
RELEVANCE = "pair"


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [*OURS.values(), *ROWS.values()]


def measure(bench: Bench) -> Found:
    """Scores of retrieval and classification, seed by seed."""
    bench.need(2)
    scores = partial(retrieved, bench, relevance=RELEVANCE)
    return {
        "retrieval": against(bench, OURS, ROWS, measure=scores, score=named(RELEVANCE)),
        "classification": against(bench, OURS, ROWS),
    }


def judge(found: Found) -> Verdict:
    """Holds where the experts gain in both tasks; corrected where in one."""
    short = {task: said for task, of in found.items() if (said := shortfall(of, "rG-UMoE"))}
    if not short:
        return holds()
    told = "; ".join(f"{task}: {why}" for task, why in short.items())
    told += hurried(found["classification"])
    if len(short) < len(found):
        return corrected(f"{' and '.join(t for t in found if t not in short)} only; {told}")
    return fails(told)


def say(found: Found) -> str:
    """Both tasks."""
    return "; ".join(say_scores(of) for of in found.values())


CLAIM = Claim(
    statement="A sparse mixture of experts on the shared parts improves rG-CMMP further.",
    source="PMR Sec. 5.2.2, Tables 4 and 10: rG-UMoE, rG-CMMP",
    protocol="rG-CMMP with one shared and four routed experts, one active, beside rG-CMMP, the "
    f"same encoders, seeds, epochs and optimiser: {named(RELEVANCE)}, where {SEARCH}; and test "
    "scores with all modalities. The experts' parameters come on top.",
    threshold=f"in both tasks: {ALL_ABOVE}; corrected where it is so in one of them alone",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
