"""Parameters of the block by Table 9 and by counting."""

from __future__ import annotations

from pnpfuse.fusion import table9_parameters
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.counting import WIDTHS, beside_printed, say_counts


def measure(bench: Bench) -> Found:
    """Both counts for each set of widths."""
    return beside_printed(table9_parameters, "weights")


def judge(found: Found) -> Verdict:
    """Holds where the counts agree; with a correction where only the biases differ."""
    if found["printed"] == found["counted"]:
        return holds()
    if found["printed"] == found["with a bias an input"]:
        return corrected(
            "the weights agree; P_shared and P_specific have a bias for each output, l* and l, "
            "not for each input as printed"
        )
    return fails("the table counts other matrices than the block has")


CLAIM = Claim(
    statement="The four maps of a modality have n l l + n l, B l* + B, (n l - B) l + (n l - B) "
    "and l (l + l*) + l parameters, B being where the dissolved features are split.",
    source="PMR App. E.4, Table 9",
    protocol="The formula, summed over the modalities, beside the parameters that a block of "
    f"linear maps (n = 4, b = 1/2) has, for the widths {WIDTHS}.",
    threshold="equal as whole numbers",
    measure=measure,
    judge=judge,
    say=say_counts,
)
