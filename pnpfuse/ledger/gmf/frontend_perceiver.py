"""GMF in front of a Perceiver."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

FRONT, ALONE = Training("g-perceiver"), Training("perceiver")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [FRONT, ALONE]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, FRONT, ALONE, ("Perceiver behind GMF", "Perceiver"))


CLAIM = Claim(
    statement="A direct way from extractor to classifier raises what a fusion can reach: GMF in "
    "front of a Perceiver makes it more accurate.",
    source="GMF Conjecture 3.1, App. F, Fig. 12; Table 2, G-Perceiver",
    protocol="A Perceiver on the encoded features, and one that is given GMF's specific parts "
    "while the shared parts go straight to the classifier (GMF App. G.3), trained with the same "
    "seeds; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
