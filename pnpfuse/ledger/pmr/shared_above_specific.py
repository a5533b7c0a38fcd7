"""Whether shared parts are more alike than specific ones."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import INTERVAL, contrast
from pnpfuse.ledger.measures.separation import (
    CKA,
    between,
    draw_alike,
    each_divided,
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
    """Likeness between modalities, of shared and of specific parts."""
    bench.need(2)
    pairs = [
        (between(one.shared, one.present), between(one.specific, one.present))
        for one in each_divided(bench, PMR)
    ]
    shared, specific = (list(column) for column in zip(*pairs, strict=True))
    return contrast(shared, specific, ("shared parts", "specific parts"))


CLAIM = Claim(
    statement="The features of the modalities come apart into two blocks: shared ones, which the "
    "modalities have in common, and specific ones, which they do not.",
    source="PMR App. E.1, Fig. 2",
    protocol="rPMR; likeness of the shared parts of each two modalities, as their own maps give "
    f"them, beside that of their specific parts: {CKA}; means over the pairs, seed by seed.",
    threshold=f"the {INTERVAL} of the difference shared - specific lies above 0",
    measure=measure,
    judge=judge_more_alike,
    say=say_alike,
    draw=draw_alike,
    trainings=trainings,
)
