"""PMR beside contrastive losses in its place, concatenation head."""

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
from pnpfuse.ledger.measures.table7 import ALIGNED, OURS, linear, matched
from pnpfuse.ledger.training import Training


def rows(bench: Bench) -> dict[str, Training]:
    """The two rows of the table."""
    bench.need(2)
    narrow = {**ALIGNED, **linear(bench)}
    large = {"base": "ffn", "base_options": {"n": matched(bench)}}
    return {
        "L_con+Linear": Training("infobridge", narrow),
        "L_con+Linear+FFN": Training("infobridge", {**narrow, **large}),
    }


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR and the rows."""
    return [*rows(bench).values(), *OURS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    return against(bench, OURS, rows(bench))


CLAIM = Claim(
    statement="A contrastive loss in PMR's place, with or without a block of as many parameters, "
    "does not reach PMR's accuracy.",
    source="PMR Sec. 5.4, Table 7, Concat: L_con+Linear, L_con+Linear+FFN",
    protocol="rPMR and sPMR beside encoders that map all modalities linearly to the narrowest "
    "width, aligned by InfoNCE (weight 0.1, learned projections) beside the task's loss, before "
    "the classifier and before an FFN as large as PMR's block; all with the concatenation head, "
    "the same seeds, epochs and optimiser; test scores with all modalities.",
    threshold=f"{ALL_ABOVE}; {ONE_FORM}",
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
