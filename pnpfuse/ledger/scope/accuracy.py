"""SCOPE beside other fusions, all modalities present."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.training import Training

# Of Table 2's baselines those that there are here.
BASELINES = {
    "Sum": Training("sum"),
    "Concat": Training("concat"),
    "late fusion": Training("late"),
    "OGM-GE": Training("ogm-ge"),
}


def trainings(bench: Bench) -> list[Training]:
    """SCOPE and the baselines."""
    bench.need(2)
    return [WHOLE, *BASELINES.values()]


def measure(bench: Bench) -> Found:
    """Test scores, seed by seed."""
    bench.need(2)
    return against(bench, {"SCOPE": WHOLE}, BASELINES)


CLAIM = Claim(
    statement="SCOPE is more accurate than conventional fusion and than methods that rebalance the "
    "modalities.",
    source="SCOPE Sec. 5.2, Table 2, rows Fusion",
    protocol=f"SCOPE and {', '.join(BASELINES)}, each with the encoders and settings that all "
    "models here have, trained with the same seeds; test scores with all modalities.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
