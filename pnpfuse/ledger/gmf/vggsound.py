"""GMF in front of a Perceiver on VGGSound, beside all others."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.training import Training

CLASSES, MODALITIES = 309, 2
FRONT = Training("g-perceiver")
OTHERS = {
    "MISA": Training("misa"),
    "MBT": Training("mbt"),
    "Perceiver": Training("perceiver"),
    "concatenation": Training("concat"),
}


def trainings(bench: Bench) -> list[Training]:
    """All, where the data are VGGSound's."""
    _check(bench)
    return [FRONT, *OTHERS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    _check(bench)
    return against(bench, {"Perceiver behind GMF": FRONT}, OTHERS)


def _check(bench: Bench) -> None:
    views = bench.views
    if (views.classes, len(views.names)) != (CLASSES, MODALITIES):
        raise CannotTry(
            f"needs audio and video features of VGGSound, {CLASSES} classes, from the paper's "
            f"backbones; {views.name} has {len(views.names)} modalities and {views.classes} "
            "classes"
        )


CLAIM = Claim(
    statement="On VGGSound the Perceiver behind GMF surpasses all compared methods.",
    source="GMF Sec. 5.3, Table 2; Abstract",
    protocol="Given frozen features of VGGSound, the Perceiver behind GMF and "
    f"{', '.join(OTHERS)}, trained with the same seeds; test scores with all modalities. "
    f"Recognised by {CLASSES} classes and {MODALITIES} modalities.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
