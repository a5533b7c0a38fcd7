"""The kinds of context."""

from __future__ import annotations

from pnpfuse.fusion.infobridge import TABLE3
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.training import Training

CLASS = Training("infobridge")
OTHERS = {
    row: Training("infobridge", options) for row, options in TABLE3.items() if row != "semantics"
}
QUICK = "cluster (k = 5)"


def _others(bench: Bench) -> dict[str, Training]:
    return {QUICK: OTHERS[QUICK]} if bench.quick else OTHERS


def trainings(bench: Bench) -> list[Training]:
    """One for each kind of context."""
    bench.need(2)
    return [CLASS, *_others(bench).values()]


def measure(bench: Bench) -> Found:
    """Test scores of each, seed by seed."""
    bench.need(2)
    return against(bench, {"the class": CLASS}, _others(bench))


CLAIM = Claim(
    statement="Of all contexts the class of a sample makes InfoBridge most accurate.",
    source="InfoBridge Sec. 4.3 and 4.4, Tables 2 and 3",
    protocol="InfoBridge around the concatenation with the class for T, and with each of "
    f"{', '.join(OTHERS)} (quick: {QUICK} alone), trained with the same seeds; test scores with "
    "all modalities.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
