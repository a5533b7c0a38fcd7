"""PMR beside the other rows of Table 7, contrastive head."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    ONE_FORM,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.measures.table7 import OURS_CMMP, aligned, narrowest
from pnpfuse.ledger.training import Training


def rows(bench: Bench) -> dict[str, Training]:
    """What the table has for this head and can be made here."""
    bench.need(2)
    linear = Training("sum", {"block_width": narrowest(bench)})
    return {"Linear": linear, "L_con+Linear": aligned(bench)}


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR and the rows."""
    return [*rows(bench).values(), *OURS_CMMP.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    return against(bench, OURS_CMMP, rows(bench))


CLAIM = Claim(
    statement="With the contrastive head too PMR is more accurate than linear maps to a common "
    "width, with or without a contrastive loss.",
    source="PMR Sec. 5.4, Tables 6 and 7, CMMP: Linear, L_con+Linear",
    protocol="rG-CMMP and sG-CMMP beside the sum of linear maps to the narrowest width, and the "
    "same with the encodings aligned by InfoNCE; all classifiers read that width, as in the "
    "paper's Table 6; contrastive losses with weight 0.1, the same encoders, seeds, epochs and "
    "optimiser; test scores with all modalities. The FFN rows of this head are not there.",
    threshold=f"{ALL_ABOVE}; {ONE_FORM}",
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
