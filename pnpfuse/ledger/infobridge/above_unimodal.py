"""InfoBridge beside each modality alone."""

from __future__ import annotations

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

INFOBRIDGE = Training("infobridge")


def _alone(bench: Bench) -> dict[str, Training]:
    return {m: Training("concat", only=(m,)) for m in bench.views.names}


def trainings(bench: Bench) -> list[Training]:
    """InfoBridge and a model for each modality."""
    bench.need(2)
    return [INFOBRIDGE, *_alone(bench).values()]


def measure(bench: Bench) -> Found:
    """Test scores of each, seed by seed."""
    bench.need(2)
    return against(bench, {"InfoBridge": INFOBRIDGE}, _alone(bench))


CLAIM = Claim(
    statement="InfoBridge is more accurate than a model of any single modality.",
    source="InfoBridge Sec. 4.2, Table 1",
    protocol="InfoBridge around the concatenation with all modalities, and an encoder with a "
    "linear head for each modality alone, trained with the same seeds.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
