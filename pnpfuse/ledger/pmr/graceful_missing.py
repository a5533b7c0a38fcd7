"""What PMR loses with a modality beside what Concat loses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds, untried
from pnpfuse.ledger.measures.paired import INTERVAL, interval, seed_margin
from pnpfuse.ledger.measures.several import against, draw_differences, hurried, say_scores
from pnpfuse.ledger.measures.wording import listed
from pnpfuse.ledger.training import Training

OURS = {"rPMR": Training("rpmr"), "sPMR": Training("spmr")}
ROWS = {"Concat": Training("concat")}


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR, and Concat."""
    bench.need(2)
    return [*OURS.values(), *ROWS.values()]


def measure(bench: Bench) -> Found:
    """Change of the test score by a missing modality, negative where something is lost."""
    bench.need(2)

    def change(training: Training) -> NDArray[np.float64]:
        return bench.accuracy(training, "each") - bench.accuracy(training)  # (seeds,)

    score = f"change of the {bench.score.replace('_', ' ')} by a missing modality"
    left = {name: bench.accuracy(one, "each") for name, one in OURS.items()}
    counts = np.bincount(bench.views.test.labels, minlength=bench.views.classes)
    one_class = counts.max() / counts.sum() if bench.score == "accuracy" else 1 / (counts > 0).sum()
    return {
        **against(bench, OURS, ROWS, measure=change, score=score, step=bench.step),
        "left": left,
        "one_class": 100 * one_class,
    }


def judge(found: Found) -> Verdict:
    """Holds where no form loses more than Concat; corrected where one does."""
    margin = seed_margin(found["models"]["Concat"]["scores"], found["step"])
    differences = {one: of["Concat"] for one, of in found["differences"].items()}
    short = {one: of for one, of in differences.items() if of["low"] < -margin}
    more = [one for one, of in short.items() if of["high"] < 0]
    unsure = [one for one in short if one not in more]
    told = [f"lost more than by Concat with {listed(more)}"] if more else []
    told += [f"too few seeds to say so of {listed(unsure)}"] if unsure else []
    if not short:
        return holds()
    if len(short) < len(differences):
        rest = listed(one for one in differences if one not in short)
        return corrected(f"for {rest} only: {'; '.join(told)}")
    if not more:
        return untried("; ".join(told))
    stands = all(interval(one)["low"] > found["one_class"] for one in found["left"].values())
    return fails(f"{'no collapse, but ' if stands else ''}{'; '.join(told)}{hurried(found)}")


def say(found: Found) -> str:
    """What is lost, and what is left."""
    left = ", ".join(f"{name} {np.mean(of):.1f} %" for name, of in found["left"].items())
    return f"{say_scores(found)}; left {left} (naming one class: {found['one_class']:.1f} %)"


CLAIM = Claim(
    statement="When a modality is absent the model degrades gracefully instead of collapsing.",
    source="PMR App. E.3, claim 2; Sec. 4 (ii); Sec. 5.3.1",
    protocol="rPMR and sPMR with the concatenation head beside Concat, trained with all modalities "
    "with the same encoders, seeds, epochs and optimiser; the test score with one modality missing "
    "(the mean over the modalities, its features set to 0) minus that with all. Graceful is read "
    "as: no more is lost than by plain concatenation, which has no remedy for it; collapse as: "
    "what is left is not above naming one class.",
    threshold=f"for both forms the {INTERVAL} of the paired difference of the changes does not "
    "reach below minus the standard deviation that Concat's change has over its seeds, one test "
    "row at least; corrected where that is so for one form alone",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw_differences,
    trainings=trainings,
)
