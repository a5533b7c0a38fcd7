"""SCOPE with and without alignment and what stands on it."""

from __future__ import annotations

from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

WITHOUT = Training("scope", TABLE6["w/o SCA"])


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, WHOLE, WITHOUT, ("SCOPE", "SCOPE without alignment"))


CLAIM = Claim(
    statement="Structure-consistent alignment makes SCOPE more accurate.",
    source="SCOPE Sec. 5.4, Table 6, w/o SCA",
    protocol="SCOPE, and SCOPE without the alignment loss and with an MLP in place of the fusion "
    "over the graph, as in the paper, trained with the same seeds; test scores with all "
    "modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
