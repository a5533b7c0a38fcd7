"""PMR without parameters above methods with parameters in retrieval."""

from __future__ import annotations

from functools import partial

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL
from pnpfuse.ledger.measures.retrieval import SEARCH, named, retrieved
from pnpfuse.ledger.measures.several import against, draw_differences, hurried, say_scores
from pnpfuse.ledger.measures.wording import listed
from pnpfuse.ledger.training import Training

OURS = {"rG-SRHT": Training("rg-cmmp", {"mapping": "srht"})}
ROWS = {
    "CMMP": Training("cmmp"),
    "triplet CMMP": Training("cmmp", {"alignment": "triplet"}),
    "rG-CMMP": Training("rg-cmmp"),
}
RELEVANCE, SEVERAL = "pair", 2


def trainings(bench: Bench) -> list[Training]:
    """All."""
    bench.need(2)
    return [*OURS.values(), *ROWS.values()]


def measure(bench: Bench) -> Found:
    """Scores of the retrieval, seed by seed, and what the block itself holds."""
    bench.need(2)
    scores = partial(retrieved, bench, relevance=RELEVANCE)
    found = against(bench, OURS, ROWS, measure=scores, score=named(RELEVANCE))
    block = bench.model(OURS["rG-SRHT"], bench.seeds[0]).block
    return {**found, "block": sum(weight.numel() for weight in block.parameters())}


def judge(found: Found) -> Verdict:
    """Holds where a block without parameters is above several methods with them."""
    if found["block"]:
        return fails(f"the block has {found['block']} parameters")
    differences = found["differences"]["rG-SRHT"]
    above = [row for row, of in differences.items() if of["low"] > 0]
    if len(above) >= SEVERAL:
        return holds()
    said = f"{listed(above)} only" if above else f"none of {listed(differences)}"
    return fails(f"beyond the spread over seeds it is above {said}{hurried(found)}")


CLAIM = Claim(
    statement="In retrieval PMR without any parameters of its own, its maps Hadamard transforms, "
    "surpasses several methods that have parameters.",
    source="PMR Sec. 5.2.2, Table 4: rG-SRHT",
    protocol="rG-CMMP with randomised Hadamard transforms for its maps beside CMMP with InfoNCE "
    "and with a triplet loss and rG-CMMP with learned maps, trained with class labels and their "
    f"own losses, the same encoders, seeds, epochs and optimiser: {named(RELEVANCE)}, where "
    f"{SEARCH}. The paper's own baselines cannot be had.",
    threshold=f"for at least {SEVERAL} of the {len(ROWS)} others the {INTERVAL} of the paired "
    "difference lies above 0; the block has no parameters",
    measure=measure,
    judge=judge,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
