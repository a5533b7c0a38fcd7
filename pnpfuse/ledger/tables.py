"""Ledgers as a table of text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from pnpfuse.ledger.beside import (
    Row,
    by_paper,
    changes_said,
    conditions_said,
    counts_said,
    labels,
)
from pnpfuse.ledger.claim import CORRECTED, FAILS, HOLDS, UNTRIED
from pnpfuse.ledger.record import Entry, Ledger

NARROWEST = 80
SOURCE, VERDICT = 13, 22  # widths of these columns
CLAIM, THINNEST = 24, 10  # least widths of the first one and of those of many ledgers
GAP = "  "
COLOURS = {HOLDS: "32", CORRECTED: "33", FAILS: "31", UNTRIED: "90"}

Cell = tuple[str, str]  # text, and its colour or ""


def ledger_lines(*ledgers: Ledger, colour: bool = False) -> Iterator[str]:
    """Claim, where it stands, what was measured and the verdict; of several only the verdicts.

    Parameters
    ----------
    *ledgers : one, or more to be set side by side
    colour : with the marks by which a terminal colours the verdicts
    """
    width = max(NARROWEST, shutil.get_terminal_size((100, 24)).columns - 1)
    heads = ["measured", "verdict"] if len(ledgers) == 1 else labels(ledgers)
    widths = _widths(width, len(ledgers))
    for title, rows in by_paper(ledgers).items():
        yield from ["", title, ""]
        yield from _lines([(head, "") for head in ["claim", "where", *heads]], widths)
        yield "-" * (sum(widths) + len(GAP) * (len(widths) - 1))
        for row in rows:
            cells = _measured(row) if len(ledgers) == 1 else _beside(row)
            yield from _lines(cells if colour else [(text, "") for text, _ in cells], widths)
            yield ""
    for line in closing_lines(ledgers):
        yield from textwrap.wrap(line, width, subsequent_indent="    ")


def closing_lines(ledgers: Sequence[Ledger]) -> Iterator[str]:
    """Under which conditions, how many claims have which verdict, and what could not be run."""
    for ledger in ledgers:
        yield conditions_said(ledger)
        yield f"  {counts_said(ledger)}"
        for name, why in ledger.failures.items():
            yield f"  not run: {name}: {why}"
    if len(ledgers) > 1:
        yield changes_said(ledgers)


def _measured(row: Row) -> list[Cell]:
    entry = row.claim
    return [(_claim(entry), ""), (entry.source, ""), (entry.measured, ""), _verdict(entry)]


def _beside(row: Row) -> list[Cell]:
    verdicts = [(e.verdict, COLOURS[e.verdict]) if e else ("-", "") for e in row.entries]
    if row.differs:
        verdicts = [(f"* {text}", code) for text, code in verdicts]
    return [(_claim(row.claim), ""), (row.claim.source, ""), *verdicts]


def _claim(entry: Entry) -> str:
    return f"{entry.name}: {entry.statement}"


def _verdict(entry: Entry) -> Cell:
    said = f"{entry.verdict}: {entry.why}" if entry.why else entry.verdict
    return said, COLOURS[entry.verdict]


def _widths(width: int, ledgers: int) -> list[int]:
    """Of claim, where, and what follows."""
    if ledgers == 1:
        left = width - SOURCE - VERDICT - 3 * len(GAP)
        return [left // 2, SOURCE, left - left // 2, VERDICT]
    room = width - SOURCE - CLAIM - len(GAP)
    each = max(THINNEST, min(VERDICT, room // ledgers - len(GAP)))
    claim = width - SOURCE - len(GAP) - ledgers * (each + len(GAP))
    return [max(CLAIM, claim), SOURCE, *[each] * ledgers]


def _lines(cells: Sequence[Cell], widths: Sequence[int]) -> Iterator[str]:
    """A row of cells, each wrapped to its width."""
    columns = [
        textwrap.wrap(text, wide) or [""] for (text, _), wide in zip(cells, widths, strict=True)
    ]
    for i in range(max(map(len, columns))):
        parts = [
            _coloured((column[i] if i < len(column) else "").ljust(wide), code)
            for column, wide, (_, code) in zip(columns, widths, cells, strict=True)
        ]
        yield GAP.join(parts).rstrip()


def _coloured(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text
