"""SCOPE beside other fusions, a single modality present."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

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
    return against(
        bench, {"SCOPE": WHOLE}, BASELINES, measure=partial(_with_one, bench),
        score=f"{bench.score.replace('_', ' ')} with one modality", step=bench.step,
    )  # fmt: skip


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
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
