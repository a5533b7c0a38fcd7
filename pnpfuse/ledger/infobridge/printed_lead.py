"""The paper's lead over the next best method."""

from __future__ import annotations

import math

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds, untried
from pnpfuse.ledger.measures.printed_infobridge import OURS, SETS, TABLE1

TEST_ROWS = {"CREMA-D": 744}  # where the paper says how many
ERRORS = 2


def measure(bench: Bench) -> Found:
    """The lead on each set, and the sampling error of a difference where it is known."""
    leads, errors = {}, {}
    for place, name in enumerate(SETS):
        ours = TABLE1[OURS][place]
        leads[name] = ours - max(row[place] for method, row in TABLE1.items() if method != OURS)
        if name in TEST_ROWS:
            errors[name] = math.sqrt(2 * ours * (100 - ours) / TEST_ROWS[name])
    return {"leads": leads, "errors": errors}


def judge(found: Found) -> Verdict:
    """Fails without a lead, holds beyond the error, and else cannot be told."""
    behind = [name for name, lead in found["leads"].items() if lead <= 0]
    if behind:
        return fails(f"not the best on {', '.join(behind)}")
    within = [
        f"{found['leads'][name]:.2f} points on {name} beside a standard error of {error:.2f}"
        for name, error in found["errors"].items()
        if found["leads"][name] <= ERRORS * error
    ]
    if not within:
        return holds()
    return untried(
        f"best in print on every set, but by {', '.join(within)}, with neither seeds nor spread; "
        "the sets and the backbones cannot be had here"
    )


def say(found: Found) -> str:
    """The leads."""
    leads = ", ".join(f"{name} {lead:+.2f}" for name, lead in found["leads"].items())
    return f"printed lead over the next best in points: {leads}"


CLAIM = Claim(
    statement="InfoBridge is more accurate than every method compared, on all four sets.",
    source="InfoBridge Sec. 4.2, Table 1",
    protocol="The printed numbers alone: the lead over the next best method, and the standard "
    "error of a difference of two accuracies on independent test rows where their number is given, "
    f"{', '.join(f'{name} {rows}' for name, rows in TEST_ROWS.items())}.",
    threshold=f"a lead on each set, above {ERRORS} standard errors where they are known; less "
    "cannot be told from print, since seeds and agreement row by row are not given",
    measure=measure,
    judge=judge,
    say=say,
)
