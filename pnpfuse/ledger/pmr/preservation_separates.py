"""Whether a modality's two parts are further apart for the preservation loss."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import INTERVAL, contrast
from pnpfuse.ledger.measures.separation import (
    CKA,
    draw_alike,
    each_divided,
    judge_less_alike,
    say_alike,
    within,
)
from pnpfuse.ledger.training import Training

WITH = Training("rpmr")
WITHOUT = Training("rpmr", settings={"weights": {"preservation": 0.0}})


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [WITH, WITHOUT]


def measure(bench: Bench) -> Found:
    """Likeness of a modality's own shared and specific part, trained with the loss and without."""
    bench.need(2)
    apart, free = (
        [within(one) for one in each_divided(bench, training)] for training in (WITH, WITHOUT)
    )
    return contrast(apart, free, ("parts with preservation", "parts without"))


CLAIM = Claim(
    statement="The preservation loss drives the shared and the specific features of a modality "
    "apart.",
    source="PMR App. E.4, Sec. 5.4",
    protocol="rPMR trained with the preservation loss and with its weight 0; likeness of each "
    f"modality's own shared and specific part: {CKA}; means over the modalities, seed by seed.",
    threshold=f"the {INTERVAL} of the paired difference with - without lies below 0",
    measure=measure,
    judge=judge_less_alike,
    say=say_alike,
    draw=draw_alike,
    trainings=trainings,
)
