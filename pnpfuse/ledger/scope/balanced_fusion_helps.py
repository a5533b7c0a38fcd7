"""SCOPE with its fusion over the graph, and with a mean."""

from __future__ import annotations

from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

WITHOUT = Training("scope", TABLE6["w/o BF"])


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, WHOLE, WITHOUT, ("SCOPE", "SCOPE with a mean"))


CLAIM = Claim(
    statement="Fusion over the graph makes SCOPE more accurate than a mean over the modalities.",
    source="SCOPE Sec. 5.4, Table 6, w/o BF",
    protocol="SCOPE, and SCOPE with the mean of the modalities in place of the fusion over the "
    "graph, trained with the same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
