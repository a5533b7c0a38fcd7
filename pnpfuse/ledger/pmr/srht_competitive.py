"""PMR without parameters beside PMR with learned maps."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.several import (
    NONE_BELOW,
    against,
    draw_differences,
    judge_not_below,
    say_scores,
)
from pnpfuse.ledger.measures.table7 import OURS
from pnpfuse.ledger.training import Training

SRHT = {"rG-SRHT": Training("rg-srht")}


def trainings(bench: Bench) -> list[Training]:
    """rG-SRHT and both forms of PMR."""
    bench.need(2)
    return [*SRHT.values(), *OURS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    bench.need(2)
    return against(bench, SRHT, OURS)


CLAIM = Claim(
    statement="With randomised Hadamard transforms for its maps, and so without parameters, the "
    "block is competitive.",
    source="PMR Sec. 5.2.2, App. B",
    protocol="rG-SRHT beside rPMR and sPMR with learned maps, all with the concatenation head, the "
    "same encoders, seeds, epochs and optimiser; test scores with all modalities.",
    threshold=NONE_BELOW,
    measure=measure,
    judge=judge_not_below,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
