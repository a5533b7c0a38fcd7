"""SCOPE with and without its disentanglement loss."""

from __future__ import annotations

from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

WITHOUT = Training("scope", TABLE6["w/o MID"])


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, WHOLE, WITHOUT, ("SCOPE", "SCOPE without disentanglement"))


CLAIM = Claim(
    statement="The disentanglement loss makes SCOPE more accurate.",
    source="SCOPE Sec. 5.4, Table 6, w/o MID",
    protocol="SCOPE, with the weight that the loss has by default, and without it, trained "
    "with the same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
