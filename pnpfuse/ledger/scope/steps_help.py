"""Diffusion over several hops beside attention to none."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

STEPS = 3  # the default
NONE = Training("scope", {"steps": 0})


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [WHOLE, NONE]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, WHOLE, NONE, (f"T = {STEPS}", "T = 0"))


CLAIM = Claim(
    statement="Balanced fusion makes SCOPE more accurate by what it brings in from neighbours over "
    "several hops.",
    source="SCOPE Sec. 5.4, effect of balanced fusion",
    protocol=f"SCOPE with T = {STEPS} and with T = 0, where a sample has nothing from its "
    "neighbours, trained with the same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
