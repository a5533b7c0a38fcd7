"""Whether training makes the specific parts of the modalities unlike."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import INTERVAL
from pnpfuse.ledger.measures.separation import (
    CKA,
    DRAWS,
    against_chance,
    draw_alike,
    judge_less_alike,
    say_alike,
)
from pnpfuse.ledger.training import Training

PMR = Training("rpmr")


def trainings(bench: Bench) -> list[Training]:
    """One."""
    bench.need(2)
    return [PMR]


def measure(bench: Bench) -> Found:
    """Likeness of the specific parts of different modalities, by trained and random maps."""
    bench.need(2)
    return against_chance(bench, PMR, "specific")


CLAIM = Claim(
    statement="PMR leaves in the specific parts what a modality has alone; ideally those of "
    "different modalities are entirely unlike.",
    source="PMR Fig. 2, Sec. 4",
    protocol="rPMR; likeness of the specific parts of each two modalities, as their own maps give "
    f"them, beside that of what {DRAWS} untrained blocks make of the same encoders' outputs: "
    f"{CKA}; means over the pairs, seed by seed.",
    threshold=f"the {INTERVAL} of the difference trained - random lies below 0",
    measure=measure,
    judge=judge_less_alike,
    say=say_alike,
    draw=draw_alike,
    trainings=trainings,
)
