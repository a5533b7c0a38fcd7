"""InfoBridge beside OGM-GE."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

FULL, WITHOUT = Training("infobridge"), Training("ogm-ge")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FULL, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, FULL, WITHOUT, ("InfoBridge", "OGM-GE"))


CLAIM = Claim(
    statement="InfoBridge is more accurate than OGM-GE, which holds back the gradient of a "
    "leading modality.",
    source="InfoBridge Sec. 4.2, Table 1",
    protocol="InfoBridge around the concatenation and OGM-GE around the same, trained with the "
    "same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
