"""Whether training brings the shared parts of the modalities together."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import INTERVAL
from pnpfuse.ledger.measures.separation import (
    CKA,
    DRAWS,
    against_chance,
    draw_alike,
    judge_more_alike,
    say_alike,
)
from pnpfuse.ledger.training import Training

PMR = Training("rpmr")


def trainings(bench: Bench) -> list[Training]:
    """One."""
    bench.need(2)
    return [PMR]


def measure(bench: Bench) -> Found:
    """Likeness of the shared parts of different modalities, by trained maps and by random ones."""
    bench.need(2)
    return against_chance(bench, PMR, "shared")


CLAIM = Claim(
    statement="PMR brings the shared parts of the modalities together; ideally they are the same.",
    source="PMR Fig. 2, Sec. 4",
    protocol="rPMR; likeness of the shared parts of each two modalities, as their own maps give "
    f"them, beside that of what {DRAWS} untrained blocks make of the same encoders' outputs: "
    f"{CKA}; means over the pairs, seed by seed.",
    threshold=f"the {INTERVAL} of the difference trained - random lies above 0",
    measure=measure,
    judge=judge_more_alike,
    say=say_alike,
    draw=draw_alike,
    trainings=trainings,
)
