"""Whether the cosine of preservation and task goes to zero."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.conflict import ENCODERS, MEASURED, course, draw_course, say_course
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.measures.several import EPOCHS
from pnpfuse.ledger.training import Training

PMR = Training("rpmr")


def trainings(bench: Bench) -> list[Training]:
    """One."""
    bench.need(2)
    return [PMR]


def measure(bench: Bench) -> Found:
    """Cosines early in the training and at its end."""
    bench.need(2)
    if bench.epochs < EPOCHS:
        raise CannotTry(f"{bench.epochs} epochs are no convergence; it takes {EPOCHS}")
    return {"course": course(bench, PMR, ("early", "trained"))}


def judge(found: Found) -> Verdict:
    """Holds where the cosine is nearer to 0 at the end."""
    early, trained = (
        np.abs(found["course"][stage][ENCODERS]["cosine"]) for stage in ("early", "trained")
    )
    nearer = interval(early - trained)
    if nearer["low"] > 0:
        first = float(np.mean(found["course"]["early"][ENCODERS]["cosine"]))
        return holds("from opposition, not from agreement" if first < 0 else "")
    return fails(
        f"at the end the cosine is not nearer to 0 than early on beyond the spread over seeds: "
        f"by {said_interval(nearer, 3)}"
    )


CLAIM = Claim(
    statement="By convergence the mean cosine between the gradients of preservation and task "
    "approaches 0.",
    source="PMR Sec. 5.5, Fig. 4",
    protocol=f"{MEASURED}, at the encoders' outputs, after a fifth of the epochs of rPMR and after "
    f"all, {EPOCHS} at least; its distance from 0 at both, seed by seed.",
    threshold=f"the {INTERVAL} of the difference of the distances lies above 0",
    measure=measure,
    judge=judge,
    say=say_course,
    draw=draw_course,
    trainings=trainings,
)
