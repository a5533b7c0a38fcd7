"""Whether SCOPE learns more of a weak modality than concatenation does."""

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
from pnpfuse.ledger.measures.scope_states import WHOLE
from pnpfuse.ledger.training import Training


def trainings(bench: Bench) -> list[Training]:
    """SCOPE, concatenation, and each modality alone."""
    return [WHOLE, CONCAT, *alone(bench).values()]


def measure(bench: Bench) -> Found:
    """Probes of the weakest modality in both."""
    weak = ranked(bench)[0]
    ours, theirs = (probed(bench, training, weak)["apart"] for training in (WHOLE, CONCAT))
    return contrast(
        ours,
        theirs,
        (f"{weak} in SCOPE", f"{weak} in Concat"),
        bench.score.replace("_", " "),
        bench.step,
    )


CLAIM = Claim(
    statement="SCOPE suppresses modality laziness: it learns more of the weak modality than "
    "concatenation does.",
    source="SCOPE Sec. 5.2, Tables 1 and 2",
    protocol="What SCOPE and a concatenation make of the weakest modality, by the score that each "
    f"has alone, in SCOPE refined, trained with the same seeds: {SAID}.",
    threshold=GAIN,
    measure=measure,
    judge=judge_gain,
    say=say_difference,
    draw=draw_difference,
    trainings=trainings,
)
