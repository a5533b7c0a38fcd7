"""A ledger as lines of text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from pnpfuse.ledger.catalogue import PAPERS
from pnpfuse.ledger.record import Entry, Ledger

NARROWEST = 60


def ledger_lines(ledger: Ledger) -> Iterator[str]:
    """Claim, where it stands, what was measured and the verdict, a paragraph a claim."""
    width = max(NARROWEST, shutil.get_terminal_size((100, 24)).columns)
    for paper, title in PAPERS.items():
        entries = [entry for entry in ledger.entries if entry.paper == paper]
        if entries:
            yield ""
            yield f"{title}"
        for entry in entries:
            yield from _entry_lines(entry, width)
    yield ""
    yield conditions_line(ledger)
    yield counts_line(ledger)


def conditions_line(ledger: Ledger) -> str:
    """Under which conditions all of it was tried."""
    its = ledger.conditions
    widths = ", ".join(f"{name} {width}" for name, width in its["modalities"].items())
    return (
        f"tried on {its['data']} ({widths}; {its['classes']} classes, {its['training rows']} "
        f"training and {its['test rows']} test rows), {len(its['seeds'])} seeds, "
        f"{its['epochs']} epochs{', quick' if its['quick'] else ''}"
    )


def counts_line(ledger: Ledger) -> str:
    """How many claims have which verdict."""
    said = [f"{count} {kind}" for kind, count in ledger.counts().items() if count]
    return f"{len(ledger.entries)} claims: {', '.join(said)}"


def _entry_lines(entry: Entry, width: int) -> Iterator[str]:
    verdict = entry.verdict + (f": {entry.why}" if entry.why else "")
    yield f"{entry.name} ({entry.source})"
    for head, text in (("claim", entry.statement), ("found", entry.measured), ("", verdict)):
        lead = f"  {head:5s}  " if head else "  ->     "
        yield from textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=" " * 9)
