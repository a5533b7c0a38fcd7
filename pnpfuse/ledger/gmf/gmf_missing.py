"""GMF beside other fusions when a modality is missing."""

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

GMF = Training("gmf")
OTHERS = {"MISA": Training("misa"), "Perceiver": Training("perceiver")}


def trainings(bench: Bench) -> list[Training]:
    """GMF and the others."""
    bench.need(2)
    return [GMF, *OTHERS.values()]


def measure(bench: Bench) -> Found:
    """Test scores with one modality missing, seed by seed."""
    bench.need(2)
    return against(bench, {"GMF": GMF}, OTHERS, "each")


CLAIM = Claim(
    statement="With one modality absent GMF is more accurate than MISA and the Perceiver.",
    source="GMF Sec. 5.3, Table 2, columns A and V",
    protocol=f"GMF, {' and '.join(OTHERS)}, trained with the same seeds and all modalities; test "
    "scores with one modality absent, the mean over which one.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
