"""PMR above Concat with one modality missing."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import CORRECTED, HOLDS, Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.missing_input import unaware
from pnpfuse.ledger.measures.several import ALL_ABOVE, ONE_FORM, against, judge_above, say_scores
from pnpfuse.ledger.training import Training

OURS = {"rG-Concat": Training("rpmr"), "sG-Concat": Training("spmr")}
ROWS = {"Concat": Training("concat")}
TOLD, UNTOLD = "features set to 0", "input set to 0"


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR, and Concat."""
    bench.need(2)
    return [*OURS.values(), *ROWS.values()]


def measure(bench: Bench) -> Found:
    """Test scores with one missing, for both ways of leaving it out."""
    bench.need(2)
    return {
        UNTOLD: against(
            bench, OURS, ROWS, measure=lambda training: unaware(bench, training),
            score=bench.score.replace("_", " "),
        ),
        TOLD: against(bench, OURS, ROWS, "each"),
    }  # fmt: skip


def judge(found: Found) -> Verdict:
    """Holds where the gain is there both ways; corrected where in one, or for one form."""
    printed, told = judge_above(found[UNTOLD]), judge_above(found[TOLD])
    if printed.kind == told.kind == HOLDS:
        return holds()
    if printed.kind == HOLDS:
        return corrected(f"with the input set to 0 only; with the features set to 0 {told.why}")
    if told.kind == HOLDS:
        return corrected(f"with the features set to 0 only; with the input set to 0 {printed.why}")
    if CORRECTED in (printed.kind, told.kind):
        return corrected(f"input set to 0: {printed.why}; features set to 0: {told.why}")
    return fails(printed.why)


def say(found: Found) -> str:
    """Both ways."""
    return "; ".join(f"{way}, {say_scores(of)}" for way, of in found.items())


CLAIM = Claim(
    statement="With a modality missing at test time PMR is above plain concatenation.",
    source="PMR Sec. 5.3.1, Table 5: rG-Concat, sG-Concat, Concat, columns A and V",
    protocol="rPMR and sPMR with the concatenation head beside Concat, trained with all modalities "
    "with the same encoders, seeds, epochs and optimiser; test scores with one modality missing, "
    "the mean over the modalities: its input set to its training mean, 0 after standardisation, "
    "as in the paper; and its features set to 0 with nothing of it behind.",
    threshold=f"with one missing, left out in both ways: {ALL_ABOVE}; {ONE_FORM}, or for one "
    "of the ways alone",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
