"""Operations of the block by Table 9 and as torch counts them."""

from __future__ import annotations

from pnpfuse.fusion import table9_flops
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.counting import WIDTHS, beside_printed, say_counts


def measure(bench: Bench) -> Found:
    """Both counts for each set of widths."""
    return beside_printed(table9_flops, "products")


def judge(found: Found) -> Verdict:
    """Holds where the counts agree; with a correction where only the biases differ."""
    if found["printed"] == found["counted"]:
        return holds()
    if found["printed"] == found["with a bias an input"]:
        return corrected(
            "the products agree, a multiplication and an addition counted as two; a bias is added "
            "to each output of P_shared and P_specific, not to each input as printed"
        )
    return fails("the block multiplies other matrices than the table counts")


CLAIM = Claim(
    statement="The four maps of a modality take 2 n l l + n l, 2 B l* + B, 2 (n l - B) l + "
    "(n l - B) and 2 l (l + l*) + l operations a sample.",
    source="PMR App. E.4, Table 9",
    protocol="The formula, summed over the modalities, beside the matrix products that torch "
    "counts in a forward pass of one sample and an addition for each bias, in a block of linear "
    f"maps (n = 4, b = 1/2) of the widths {WIDTHS}.",
    threshold="equal as whole numbers",
    measure=measure,
    judge=judge,
    say=say_counts,
)
