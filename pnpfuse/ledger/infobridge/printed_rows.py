"""Whether different methods have different accuracies in the paper's tables."""

from __future__ import annotations

from itertools import combinations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.printed_infobridge import OURS, SAME, SETS, TABLES

LIMIT = 2  # sets on which two methods may agree to the last digit by chance


def measure(bench: Bench) -> Found:
    """{two rows: the sets on which they are equal}, rows of the same training left out."""
    rows = [(table, row) for table, lines in TABLES.items() for row in lines if row != OURS]
    equal = {}
    for one, other in combinations(rows, 2):
        if any(one in places and other in places for places in SAME.values()):
            continue
        ours, theirs = (TABLES[table][row] for table, row in (one, other))
        sets = [name for name, a, b in zip(SETS, ours, theirs, strict=True) if a == b]
        if sets:
            equal[f"{one[1]} ({one[0]}) and {other[1]} ({other[0]})"] = sets
    return {"equal": equal}


def judge(found: Found) -> Verdict:
    """Holds where no two methods agree more often than by chance."""
    often = {rows: sets for rows, sets in found["equal"].items() if len(sets) >= LIMIT}
    if not often:
        return holds()
    each = [f"{rows} on {', '.join(sets)}" for rows, sets in often.items()]
    return fails(f"equal to the last digit: {'; '.join(each)}")


def say(found: Found) -> str:
    """How many rows agree, and on how many sets at most."""
    sizes = [len(sets) for sets in found["equal"].values()]
    return (
        f"{len(sizes)} pairs of methods agree, on up to {max(sizes, default=0)} of {len(SETS)} sets"
    )


CLAIM = Claim(
    statement="Each row of the tables is a method with accuracies of its own.",
    source="InfoBridge Tables 1, 2 and 3",
    protocol="The printed numbers alone: all pairs of rows that describe different trainings; the "
    "sets on which they are equal to two decimals.",
    threshold=f"no two methods equal on {LIMIT} sets or more: one such accident among four "
    "numbers of two decimals is not rare, two are",
    measure=measure,
    judge=judge,
    say=say,
)
