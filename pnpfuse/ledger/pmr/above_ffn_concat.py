"""PMR beside blocks of as many parameters without dissociation, concatenation head."""

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
from pnpfuse.ledger.measures.table7 import OURS, linear, matched, unequal
from pnpfuse.ledger.training import Training


def rows(bench: Bench) -> dict[str, Training]:
    """The parameter-matched rows of the table; "Linear+FFN" where widths differ."""
    bench.need(2)
    found = {"FFN": Training("ffn"), "FFN without ReLU": Training("ffn-linear")}
    if unequal(bench):
        found["Linear+FFN"] = Training("ffn", {"n": matched(bench), **linear(bench)})
    return found


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR and the rows."""
    return [*rows(bench).values(), *OURS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    return against(bench, OURS, rows(bench))


CLAIM = Claim(
    statement="PMR is more accurate than feed-forward blocks of as many parameters without "
    "dissociation and conservation.",
    source="PMR Sec. 5.4, Table 7, Concat: FFN, FFN+Linear, Linear+FFN",
    protocol="rPMR and sPMR beside an FFN d -> n d -> d of as many parameters, the same without "
    "ReLU (PMR has none), and, where the encoders' widths differ, encoders that map all modalities "
    "linearly to the narrowest width before an FFN as large as PMR's block; all with the "
    "concatenation head, the same seeds, epochs and optimiser; test scores with all modalities. "
    "FFN+Linear is left out: a linear map before the linear classifier adds nothing.",
    threshold=f"{ALL_ABOVE}; {ONE_FORM}",
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
