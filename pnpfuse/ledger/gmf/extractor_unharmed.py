"""What the extractors trained under GMF are worth alone."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from pnpfuse.dominance.probing import probe
from pnpfuse.findings import spread
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
    """GMF, the others, and each modality alone."""
    bench.need(2)
    return [GMF, *OTHERS.values(), *_alone(bench)]


def _alone(bench: Bench) -> list[Training]:
    return [Training("concat", only=(m,)) for m in bench.views.names]


def measure(bench: Bench) -> Found:
    """Scores of linear probes of the encoders, also of those trained on one modality."""
    bench.need(2)
    alone = np.mean([_probed(bench, training) for training in _alone(bench)], axis=0)
    found = against(
        bench, {"GMF": GMF}, OTHERS, measure=partial(_probed, bench),
        score=f"{bench.score.replace('_', ' ')} of probes", step=bench.step,
    )  # fmt: skip
    return {**found, "alone": alone}


def _probed(bench: Bench, training: Training) -> NDArray[np.float64]:
    """Mean over the modalities of what a linear probe reads off an encoder, (seeds,) in percent."""
    rows = bench.rows(training)
    found = [probe(bench.model(training, seed), rows) for seed in bench.seeds]
    return np.array([100 * float(f["probe"].sel(score=bench.score).mean()) for f in found])


def say(found: Found) -> str:
    """All scores, and those of modalities trained alone."""
    return f"{say_scores(found)}; trained alone {spread(np.array(found['alone']))} %"


CLAIM = Claim(
    statement="GMF harms the feature extractors less than other fusions do: read alone, those "
    "trained under GMF classify better than those trained under MISA or the Perceiver.",
    source="GMF Sec. 5.3, Table 2, columns A(uni) and V(uni)",
    protocol=f"GMF, {' and '.join(OTHERS)} are trained with the same seeds; a logistic regression "
    "learns from each encoder's output on the training rows, with its modality alone present, and "
    "is scored on the test rows; the mean over the modalities. Beside it encoders that were "
    "trained on their modality alone.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say,
    draw=draw_differences,
    trainings=trainings,
)
