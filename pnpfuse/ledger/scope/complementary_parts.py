"""Refinement and disentanglement: what the second adds without the first."""

from __future__ import annotations

from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

ONE, NEITHER = (Training("scope", TABLE6[row]) for row in ("w/o AFR", "w/o AFR & MID"))


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [ONE, NEITHER]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, ONE, NEITHER, ("SCOPE without refinement", "SCOPE without both"))


CLAIM = Claim(
    statement="Refinement and disentanglement complement each other: without both SCOPE is less "
    "accurate than without refinement alone.",
    source="SCOPE Sec. 5.4, Table 6, w/o AFR & MID",
    protocol="SCOPE without refinement, and without refinement and the "
    "disentanglement loss, trained with the same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
