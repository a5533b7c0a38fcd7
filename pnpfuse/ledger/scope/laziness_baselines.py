"""Whether joint training learns less of a weak modality than training on it alone."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.laziness_probes import CONCAT, SAID, alone, probed, ranked
from pnpfuse.ledger.measures.paired import (
    GAIN,
    contrast,
    draw_difference,
    judge_gain,
    say_difference,
)
from pnpfuse.ledger.training import Training


def trainings(bench: Bench) -> list[Training]:
    """Concatenation, and each modality alone."""
    return [CONCAT, *alone(bench).values()]


def measure(bench: Bench) -> Found:
    """Probes of the weakest modality's encoder, trained alone and in company."""
    weak = ranked(bench)[0]
    by_itself = probed(bench, alone(bench)[weak], weak)["apart"]
    joint = probed(bench, CONCAT, weak)["apart"]
    return contrast(
        by_itself,
        joint,
        (f"{weak} trained alone", f"{weak} in Concat"),
        bench.score.replace("_", " "),
        bench.step,
    )


CLAIM = Claim(
    statement="In plain joint training the strong modality leaves the weak one under-optimised: "
    "less of it is learned than from it alone.",
    source="SCOPE Sec. 1, 2 and 5.2",
    protocol="The encoder of the weakest modality, by the score that each has alone, trained alone "
    f"and within a concatenation, same seeds and settings: {SAID}.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
