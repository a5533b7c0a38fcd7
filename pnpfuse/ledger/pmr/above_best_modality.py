"""PMR above each modality alone, where plain concatenation is not."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import HOLDS, Claim, Found, Verdict, corrected
from pnpfuse.ledger.measures.paired import interval, said_interval
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    ONE_FORM,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.measures.table7 import OURS
from pnpfuse.ledger.training import Training

CONCAT = Training("concat")


def alone(bench: Bench) -> dict[str, Training]:
    """{modality alone: the same encoder with a linear head}."""
    bench.need(2)
    return {f"{m} alone": Training("concat", only=(m,)) for m in bench.views.names}


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR, Concat, and each modality alone."""
    return [*alone(bench).values(), CONCAT, *OURS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all; Concat beside the modality that is best alone."""
    found = against(bench, OURS, alone(bench))
    best = max(found["others"], key=lambda one: found["models"][one]["scores"].mean())
    concat = bench.accuracy(CONCAT)
    gain = interval(concat - found["models"][best]["scores"], bench.step)
    return {**found, "best": best, "concat": gain}


def judge(found: Found) -> Verdict:
    """Holds as printed where PMR is above each and Concat below; corrected where Concat is not."""
    verdict = judge_above(found)
    if verdict.kind == HOLDS and found["concat"]["high"] >= 0:
        return corrected(f"plain concatenation is not below {found['best']} either")
    return verdict


def say(found: Found) -> str:
    """PMR beside each, Concat beside the best."""
    return f"{say_scores(found)}; Concat to {found['best']} {said_interval(found['concat'])}"


CLAIM = Claim(
    statement="Plain concatenation falls below the better modality alone; behind PMR it is above "
    "it.",
    source="PMR Sec. 5.3.2, Table 6: ResNet-152, BERT, Concat, sG-Concat, rG-Concat",
    protocol="The same encoder with a linear head is trained on each modality alone; rPMR and sPMR "
    "with the concatenation head, and Concat, on all; the same seeds, epochs and optimiser; test "
    "scores with all modalities.",
    threshold=f"{ALL_ABOVE}, {ONE_FORM}; and that of Concat to the modality that is best alone "
    "lies below 0, corrected where it does not",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw_differences,
    trainings=trainings,
)
