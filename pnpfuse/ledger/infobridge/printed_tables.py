"""Whether one configuration has one accuracy in the paper's tables."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.printed_infobridge import SAME, SETS, TABLES


def measure(bench: Bench) -> Found:
    """{what is trained: {set: its values}}, where there are several."""
    found = {}
    for what, places in SAME.items():
        values = zip(*(TABLES[table][row] for table, row in places), strict=True)
        found[what] = {
            name: sorted(set(printed))
            for name, printed in zip(SETS, values, strict=True)
            if len(set(printed)) > 1
        }
    return {"several": found}


def judge(found: Found) -> Verdict:
    """Holds where nothing has two values."""
    several = {what: sets for what, sets in found["several"].items() if sets}
    if not several:
        return holds()
    each = [f"{what} on {', '.join(sets)}" for what, sets in several.items()]
    return fails(f"two values for {'; '.join(each)}")


def say(found: Found) -> str:
    """The values that differ."""
    each = [
        f"{what}, {name}: {' and '.join(f'{value:.2f}' for value in values)}"
        for what, sets in found["several"].items()
        for name, values in sets.items()
    ]
    return "; ".join(each) or "one value each"


CLAIM = Claim(
    statement="The tables show the accuracies of one full model and of its ablations.",
    source="InfoBridge Tables 1, 2 and 3",
    protocol="The printed numbers alone: rows of two tables that describe the same training, "
    f"{', '.join(SAME)}, are compared set by set.",
    threshold="one value for each, to the digits that are printed",
    measure=measure,
    judge=judge,
    say=say,
)
