"""What joint models have learned of their modalities, and each modality alone."""

from __future__ import annotations

import numpy as np

from pnpfuse.dominance.probing import SCORES, held, probe_modality
from pnpfuse.labels import TRAIN
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views

CONCAT = Training("concat")
ROWS, FEW = 1000, 400
SAID = (
    f"logistic regression on the standardised features of at most {ROWS} training rows (quick "
    f"{FEW}), scored on the test rows, all other modalities missing"
)


def alone(bench: Bench) -> dict[str, Training]:
    """A training of each modality alone; CannotTry where none could be probed."""
    bench.need(2)
    views = bench.views
    for m in views.names:
        rows = held(views, m)
        learned = np.unique(views.labels[rows][views.split[rows] == TRAIN])
        if len(learned) < 2 or (views.split[rows] == TRAIN).all():
            raise CannotTry(f"needs {m} in training rows of two classes and in test rows")
    return {m: Training("concat", only=(m,)) for m in views.names}


def ranked(bench: Bench) -> list[str]:
    """The modalities by the score that each has alone, mean over the seeds, weakest first."""
    means = {m: bench.accuracy(training).mean() for m, training in alone(bench).items()}
    return sorted(means, key=means.__getitem__)


def probed(
    bench: Bench, training: Training, modality: str, *, beside: bool = False
) -> dict[str, list[float]]:
    """Scores in percent, seed by seed: "apart", the others missing; if asked for, "beside" them."""
    score = SCORES.index(bench.score)
    views = fewer_learned(bench.rows(training), FEW if bench.quick else ROWS)
    found: dict[str, list[float]] = {"apart": [], "beside": []}
    if not beside:
        del found["beside"]
    for seed in bench.seeds:
        read = probe_modality(bench.model(training, seed), views, modality, beside=beside)
        for place, scores in enumerate(found.values()):
            scores.append(100 * read[place][score])
    return found


def fewer_learned(views: Views, count: int) -> Views:
    """All test rows and at most `count` training rows, drawn at random."""
    train = np.flatnonzero(views.split == TRAIN)
    left_out = np.random.default_rng(0).permutation(train)[count:]
    kept = np.ones(len(views), bool)
    kept[left_out] = False
    return views.subset(kept)
