"""Whether preservation and task agree when the training begins."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds, untried
from pnpfuse.ledger.measures.conflict import ENCODERS, MEASURED, course, draw_course, say_course
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

PMR = Training("rpmr")


def measure(bench: Bench) -> Found:
    """Cosines before the training and early in it."""
    bench.need(2)
    return {"course": course(bench, PMR, ("untrained", "early"))}


def judge(found: Found) -> Verdict:
    """Holds where they agree beyond the spread at either of the two."""
    at = {stage: points[ENCODERS] for stage, points in found["course"].items()}
    if any(None in one["cosine"] for one in at.values()):
        return untried("one of the two gradients vanishes, so there is no angle")
    intervals = {stage: interval(one["cosine"]) for stage, one in at.items()}
    aligned = [stage for stage in at if intervals[stage]["low"] > at[stage]["chance"]]
    opposed = [stage for stage in at if intervals[stage]["high"] < -at[stage]["chance"]]
    if aligned and not opposed:
        return holds()
    said = ", ".join(f"{stage} {said_interval(of, 3)}" for stage, of in intervals.items())
    return fails(
        f"the gradients {'come to oppose each other' if opposed else 'do not meet'}: cosine {said}"
    )


CLAIM = Claim(
    statement="At first the gradient of the preservation loss is aligned with that of the task.",
    source="PMR Sec. 5.5, Fig. 4",
    protocol=f"{MEASURED}, at the encoders' outputs, before the training of rPMR and after a "
    "fifth of its epochs.",
    threshold=f"the {INTERVAL} of the cosine lies above chance at one of the two and not below "
    "minus chance at the other",
    measure=measure,
    judge=judge,
    say=say_course,
    draw=draw_course,
)
