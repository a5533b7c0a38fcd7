"""GMF beside the baseline that joins the features, all modalities present."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import HOLDS, Claim, Found, Verdict, holds
from pnpfuse.ledger.measures.paired import GAIN, differ, draw_difference, judge_gain, say_difference
from pnpfuse.ledger.training import Training

GMF, CONCAT = Training("gmf"), Training("concat")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [GMF, CONCAT]


def measure(bench: Bench) -> Found:
    """Test scores of both, seed by seed."""
    bench.need(2)
    return differ(bench, GMF, CONCAT, ("GMF", "concatenation")) | {"epochs": bench.epochs}


def judge(found: Found) -> Verdict:
    """Holds where GMF is better beyond the spread, after as many epochs."""
    verdict = judge_gain(found)
    if verdict.kind == HOLDS:
        return holds(f"after {found['epochs']} epochs each; it says nothing of longer trainings")
    return verdict


def say(found: Found) -> str:
    """Both scores and the difference, and after how many epochs."""
    return f"after {found['epochs']} epochs {say_difference(found)}"


CLAIM = Claim(
    statement="With trained extractors GMF is more accurate than the direct connection of the "
    "features.",
    source="GMF Sec. 5.3, Table 2, AV",
    protocol="GMF with n = 4, b = 1/2 and a linear classifier, and the features side by side with "
    "the same classifier, trained with the same seeds for the same number of "
    "epochs; test scores with all modalities.",
    threshold=GAIN,
    measure=measure,
    judge=judge,
    say=say,
    draw=draw_difference,
    trainings=trainings,
)
