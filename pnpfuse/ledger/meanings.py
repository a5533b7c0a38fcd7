"""What a reader of a ledger has to know: the verdicts, and how far a statistical one goes."""

from __future__ import annotations

from collections.abc import Sequence

from pnpfuse.ledger.claim import CORRECTED, FAILS, HOLDS, UNTRIED
from pnpfuse.ledger.measures.paired import LEVEL
from pnpfuse.ledger.record import Ledger

MEANINGS = {
    HOLDS: "what was measured agrees with the statement as the paper makes it",
    CORRECTED: "it holds once something in it is put right; the verdict says what",
    FAILS: "measured under the conditions named here, it did not; it may elsewhere",
    UNTRIED: "the data or the backbone that it speaks of are not to be had here, or these data "
    "do not allow it; the verdict says what is lacking",
}


def statistics_said(ledgers: Sequence[Ledger]) -> str:
    """How verdicts on trained models are made, and how often such intervals miss."""
    count = sum(_has_interval(entry.found) for ledger in ledgers for entry in ledger.entries)
    entries = sum(len(ledger.entries) for ledger in ledgers)
    return (
        "A verdict on trained models rests on the differences seed by seed, with all models given "
        f"the same seeds, and on the {LEVEL:.0%} t interval of their mean: no margin is chosen. "
        "The seeds vary the weights and the order of the rows, and not the split of the data, so "
        "an interval says what more seeds would say and not what other data would. "
        f"Of many such intervals one in {1 / (1 - LEVEL):.0f} misses by chance. Verdicts here that "
        f"rest on one: {count} of {entries}, so that about {count * (1 - LEVEL):.1f} may be wrong "
        "for that reason."
    )


def _has_interval(found: object) -> bool:
    """Whether something measured has an interval over seeds in it, as `interval` makes it."""
    if isinstance(found, dict):
        return {"mean", "low", "high", "sd"} <= set(found) or any(
            map(_has_interval, found.values())
        )
    return isinstance(found, list) and any(map(_has_interval, found))
