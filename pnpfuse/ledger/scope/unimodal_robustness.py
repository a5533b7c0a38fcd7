"""SCOPE beside other fusions, a single modality present."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnpfuse.ledger.beaten import ALL_BEATEN, beside, draw_all, judge_all, say_all
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.scope_states import WHOLE
from pnpfuse.ledger.training import Training

BASELINES = {
    "Sum": Training("sum"),
    "Concat": Training("concat"),
    "late fusion": Training("late"),
}


def trainings(bench: Bench) -> list[Training]:
    """SCOPE and the baselines."""
    bench.need(2)
    return [WHOLE, *BASELINES.values()]


def measure(bench: Bench) -> Found:
    """Test scores with one modality, mean over the modalities, seed by seed."""
    bench.need(2)
    return beside(bench, "SCOPE", WHOLE, BASELINES, _with_one)


def _with_one(bench: Bench, training: Training) -> NDArray[np.float64]:
    conditions = [f"only:{m}" for m in bench.views.names]
    scores = bench.scores(training)[bench.score].sel(condition=conditions)
    return 100 * scores.mean("condition").values


CLAIM = Claim(
    statement="SCOPE is more accurate than conventional fusion also with a single modality.",
    source="SCOPE Sec. 5.2, Table 2, rows Text, Visual and Audio",
    protocol=f"SCOPE, {', '.join(BASELINES)}, trained on all modalities with the same seeds; "
    "test scores with all modalities but one missing, mean over the modality that is left. The "
    "paper does not say how it reads a modality's own score.",
    threshold=ALL_BEATEN,
    measure=measure,
    judge=judge_all,
    say=say_all,
    draw=draw_all,
    trainings=trainings,
)
