"""What models with and without GMF leave of the labels."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

GMF, CONCAT = Training("gmf"), Training("concat")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [GMF, CONCAT]


def measure(bench: Bench) -> Found:
    """Cross-entropy on test rows of both, seed by seed."""
    bench.need(2)
    ours, theirs = (
        bench.scores(training)["loss"].sel(condition="none").values for training in (GMF, CONCAT)
    )
    return {
        "gmf": ours,
        "concat": theirs,
        "change": interval(ours - theirs),
        "epochs": bench.epochs,
    }


def judge(found: Found) -> Verdict:
    """Holds where GMF leaves less beyond the spread."""
    if found["change"]["high"] < 0:
        return holds(f"after {found['epochs']} epochs each; it says nothing of longer trainings")
    if found["change"]["low"] > 0:
        return fails("GMF leaves more of the labels than concatenation")
    return fails("no difference between GMF and concatenation beyond the spread over seeds")


def say(found: Found) -> str:
    """Both, and the difference."""
    return (
        f"after {found['epochs']} epochs GMF {np.mean(found['gmf']):.3f} nats, concatenation "
        f"{np.mean(found['concat']):.3f}: {said_interval(found['change'], 3)}"
    )


CLAIM = Claim(
    statement="GMF lowers the entropy of the downstream task.",
    source="GMF Abstract; Sec. 6",
    protocol="GMF and concatenation trained with the same seeds for the same number of "
    "epochs; cross-entropy on test rows with all modalities, from above H(Y|features).",
    threshold=f"holds if the {INTERVAL} of the paired difference lies below 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
