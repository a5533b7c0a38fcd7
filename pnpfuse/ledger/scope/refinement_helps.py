"""SCOPE with and without its attention over the modalities."""

from __future__ import annotations

from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training

WITHOUT = Training("scope", TABLE6["w/o AFR"])


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, WHOLE, WITHOUT, ("SCOPE", "SCOPE without refinement"))


CLAIM = Claim(
    statement="Refining the modalities by self- and cross-attention makes SCOPE more accurate.",
    source="SCOPE Sec. 5.4, Table 6, w/o AFR",
    protocol="SCOPE, and SCOPE with a linear map in place of the attention and all modalities "
    "weighing the same, trained with the same seeds; test scores with all modalities. "
    "Without refinement SCOPE learns slowly beside the alignment loss: the difference is that "
    "after the epochs of the ledger.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
