"""PMR beside no reconfiguration at all, concatenation head."""

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
from pnpfuse.ledger.measures.table7 import OURS, linear, unequal
from pnpfuse.ledger.training import Training


def rows(bench: Bench) -> dict[str, Training]:
    """Identity; "Linear" where widths differ."""
    bench.need(2)
    narrow = {"Linear": Training("concat", linear(bench))} if unequal(bench) else {}
    return {"Identity": Training("concat"), **narrow}


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR and the rows."""
    return [*rows(bench).values(), *OURS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    return against(bench, OURS, rows(bench))


CLAIM = Claim(
    statement="PMR is more accurate than the features concatenated as they are or mapped to one "
    "width.",
    source="PMR Sec. 5.4, Table 7, Concat: Linear, Identity",
    protocol="rPMR and sPMR beside the encodings concatenated as they are and, where their widths "
    "differ, with encoders that map all modalities linearly to the narrowest width; the same "
    "encoders otherwise, linear classifier, seeds, epochs and optimiser; test scores with all "
    "modalities. These rows have fewer parameters, as in the paper.",
    threshold=f"{ALL_ABOVE}; {ONE_FORM}",
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
