"""InfoBridge without its margin."""

from __future__ import annotations

from pnpfuse.fusion.infobridge import TABLE2
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

FULL, WITHOUT = Training("infobridge"), Training("infobridge", TABLE2["w/o protective margin"])


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FULL, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, FULL, WITHOUT, ("InfoBridge", "InfoBridge without margin"))


CLAIM = Claim(
    statement="InfoBridge is more accurate with the protective margin than without it.",
    source="InfoBridge Sec. 4.3, Table 2",
    protocol="InfoBridge around the concatenation, with the margin log(N0/N1) inside the critic "
    "and with none, trained with the same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
