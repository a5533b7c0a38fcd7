"""GMF in front of a Perceiver that loses a modality."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.gmf.frontend_perceiver import ALONE, FRONT, trainings
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference


def measure(bench: Bench) -> Found:
    """Test scores of both with one modality missing, seed by seed."""
    bench.need(2)
    return differ(bench, FRONT, ALONE, ("Perceiver behind GMF", "Perceiver"), "each")


CLAIM = Claim(
    statement="GMF in front of a Perceiver makes it less sensitive to a missing modality: more "
    "accurate with one modality absent.",
    source="GMF Sec. 5.3, Table 2, columns A and V",
    protocol="A Perceiver, and one behind GMF, trained with the same seeds and all modalities; "
    "test scores with one modality absent, the mean over which one.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
