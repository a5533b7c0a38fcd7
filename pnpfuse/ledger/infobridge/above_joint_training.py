"""InfoBridge beside plain joint training."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

FULL, WITHOUT = Training("infobridge"), Training("concat")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FULL, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, FULL, WITHOUT, ("InfoBridge", "joint training"))


CLAIM = Claim(
    statement="InfoBridge is more accurate than joint training, where the modalities' features "
    "are concatenated and no objective of information is maximised.",
    source="InfoBridge Sec. 4.2 and 4.3, Tables 1 and 2",
    protocol="InfoBridge around the concatenation, and the concatenation alone, which is "
    "InfoBridge without its objective, trained with the same seeds; test scores with all "
    "modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
