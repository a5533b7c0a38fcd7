"""PMR beside a block of as many parameters, concatenation head."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

PMR, FFN = Training("rpmr"), Training("ffn")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [PMR, FFN]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, PMR, FFN, ("PMR", "FFN"))


CLAIM = Claim(
    statement="PMR is more accurate than a feed-forward block of as many parameters without "
    "dissociation and conservation.",
    source="PMR Sec. 5.4, Table 7, Concat",
    protocol="rPMR and the FFN d -> n d -> d matched in parameters, both with the concatenation "
    "head, trained with the same seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
