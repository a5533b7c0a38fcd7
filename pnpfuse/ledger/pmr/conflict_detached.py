"""Conflict of the gradients, the target of the preservation loss detached."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.conflict import (
    MEASURED,
    NO_OPPOSITION,
    course,
    draw_course,
    judge_no_opposition,
    say_course,
)
from pnpfuse.ledger.training import Training

PMR = Training("rpmr", {"gradient": "detach_target"})


def trainings(bench: Bench) -> list[Training]:
    """One."""
    bench.need(2)
    return [PMR]


def measure(bench: Bench) -> Found:
    """Cosines early in the training and at its end."""
    bench.need(2)
    return {"course": course(bench, PMR, ("early", "trained"))}


CLAIM = Claim(
    statement="All forces derive from a single scalar potential, so that the gradients of the "
    "task and of the preservation loss cannot oppose each other "
    "(tried with the latter not reaching its target).",
    source="PMR App. E.3, claim 4; Sec. 4",
    protocol=f"{MEASURED}, at the encoders' outputs and at the block's parameters, after a fifth "
    "of the epochs and after all. rPMR, the preservation loss not reaching its target.",
    threshold=NO_OPPOSITION,
    measure=measure,
    judge=judge_no_opposition,
    say=say_course,
    draw=draw_course,
    trainings=trainings,
)
