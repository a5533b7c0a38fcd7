"""Ledgers side by side: the same claims on several data, or before and after a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pnpfuse.ledger.catalogue import PAPERS
from pnpfuse.ledger.record import Entry, Ledger


@dataclass(frozen=True)
class Row:
    """One claim in all ledgers.

    Attributes
    ----------
    entries : one a ledger, None where it was not run
    """

    entries: tuple[Entry | None, ...]

    @property
    def claim(self) -> Entry:
        """The first of them, for what is the same in all: statement, source, protocol, ..."""
        return next(entry for entry in self.entries if entry)

    @property
    def differs(self) -> bool:
        """Whether two ledgers that have it have different verdicts."""
        return len({entry.verdict for entry in self.entries if entry}) > 1


def by_paper(ledgers: Sequence[Ledger]) -> dict[str, list[Row]]:
    """{what the paper is: its rows}, in the order of the papers and, within one, of the names."""
    names = {entry.name for ledger in ledgers for entry in ledger.entries}
    of = [{entry.name: entry for entry in ledger.entries} for ledger in ledgers]
    found: dict[str, list[Row]] = {}
    for paper in [*PAPERS, *sorted({name.partition("/")[0] for name in names} - set(PAPERS))]:
        its = sorted(name for name in names if name.partition("/")[0] == paper)
        if its:
            rows = [Row(tuple(entries.get(name) for entries in of)) for name in its]
            found[PAPERS.get(paper, paper)] = rows
    return found


def labels(ledgers: Sequence[Ledger]) -> list[str]:
    """What to call each: by its data; where these are the same, by lengths, or numbered."""
    names = [Path(ledger.conditions["data"]).stem for ledger in ledgers]
    if len(set(names)) < len(names):
        names = [f"{name}, {lengths(ledger)}" for name, ledger in zip(names, ledgers, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name} ({i})" for i, name in enumerate(names, 1)]
    return names


def lengths(ledger: Ledger) -> str:
    """Seeds and epochs, and whether it was a quick one."""
    its = ledger.conditions
    quick = ", quick" if its["quick"] else ""
    return f"{len(its['seeds'])} seeds, {its['epochs']} epochs{quick}"


def conditions_said(ledger: Ledger) -> str:
    """Under which conditions all of it was tried."""
    its = ledger.conditions
    widths = ", ".join(f"{name} {width}" for name, width in its["modalities"].items())
    return (
        f"tried on {its['data']} ({widths}; {its['classes']} classes, {its['training rows']} "
        f"training and {its['test rows']} test rows), {lengths(ledger)}"
    )


def counts_said(ledger: Ledger) -> str:
    """How many claims have which verdict."""
    said = [f"{count} {kind}" for kind, count in ledger.counts().items() if count]
    claims = "1 claim" if len(ledger.entries) == 1 else f"{len(ledger.entries)} claims"
    return f"{claims}: {', '.join(said)}" if said else claims


def changes_said(ledgers: Sequence[Ledger]) -> str:
    """In how many claims several ledgers disagree; empty for one."""
    rows = [row for its in by_paper(ledgers).values() for row in its]
    if len(ledgers) < 2:
        return ""
    changed = sum(row.differs for row in rows)
    return f"{changed} of {len(rows)} claims have not the same verdict in all (marked *)"
