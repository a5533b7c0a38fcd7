"""Whether disentanglement makes matched samples alike and others orthogonal."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from pnpfuse.fusion.preservation import unit
from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.measures.scope_states import WHOLE, fused, whole_rows
from pnpfuse.ledger.training import Training

WITHOUT = Training("scope", TABLE6["w/o MID"])
ROWS = 400


def trainings(bench: Bench) -> list[Training]:
    """SCOPE with and without the loss."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Cosines of matched and squared cosines of other samples, and what the loss changes."""
    bench.need(2)
    ours, theirs = (_cosines(bench, training) for training in (WHOLE, WITHOUT))
    return {
        "with": ours.mean(0),
        "without": theirs.mean(0),
        "matched": interval(ours[:, 0] - theirs[:, 0]),
        "others": interval(ours[:, 1] - theirs[:, 1]),
    }


def _cosines(bench: Bench, training: Training) -> np.ndarray:
    """(seeds, 2): matched, squared of others; means over samples and pairs of modalities."""
    test = bench.views.test
    rows = whole_rows(test, ROWS)
    found = []
    for seed in bench.seeds:
        refined = fused(bench.model(training, seed), test, rows).refined
        pairs = [unit(x) @ unit(y).mT for x, y in combinations(refined.values(), 2)]  # (N, N)
        own = [pair.diagonal() for pair in pairs]
        count = len(rows) * (len(rows) - 1)
        others = [
            (pair.square().sum() - mine.square().sum()) / count
            for pair, mine in zip(pairs, own, strict=True)
        ]
        found.append([float(sum(x.mean() for x in own)), float(sum(others))])
        found[-1] = [value / len(pairs) for value in found[-1]]
    return np.array(found)


def judge(found: Found) -> Verdict:
    """Holds where both change as the loss wants beyond the spread."""
    lacking = [] if found["matched"]["low"] > 0 else ["matched samples are no more alike"]
    if not found["others"]["high"] < 0:
        above = found["others"]["low"] > 0
        lacking.append(f"other samples are {'more alike, not less' if above else 'no less alike'}")
    return fails(", and ".join(lacking)) if lacking else holds()


def say(found: Found) -> str:
    """Both cosines."""
    (own, others), (own_without, others_without) = found["with"], found["without"]
    return (
        f"cosine of matched samples {own:.2f}, without the loss {own_without:.2f}: "
        f"{said_interval(found['matched'], 2)}; squared cosine of others {others:.2f}, without "
        f"{others_without:.2f}: {said_interval(found['others'], 2)}"
    )


CLAIM = Claim(
    statement="The disentanglement loss makes the similarity matrix of two modalities "
    "identity-like: matched samples alike, others orthogonal.",
    source="SCOPE Sec. 4.1, App. A",
    protocol=f"Cosines between the refined features of two modalities for at most {ROWS} test "
    "rows, mean over the pairs of modalities: of matched samples, and squared of different ones, "
    "in SCOPE trained with the loss, at the weight it has by default, and without, same seeds.",
    threshold=f"the {INTERVAL} of the paired difference lies above 0 for matched samples and below "
    "0 for the others",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
