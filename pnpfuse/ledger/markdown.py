"""Ledgers as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pnpfuse.ledger.beside import Row, by_paper, changes_said, conditions_said, counts_said, labels
from pnpfuse.ledger.meanings import MEANINGS, statistics_said
from pnpfuse.ledger.record import TITLE, Entry, Ledger


def ledger_markdown(*ledgers: Ledger) -> str:
    """Return the page: conditions, a table of the verdicts, then each claim with its numbers."""
    return "\n".join(_lines(ledgers)) + "\n"


def _lines(ledgers: Sequence[Ledger]) -> Iterator[str]:
    names = labels(ledgers)
    yield from [f"# {TITLE}", ""]
    for name, ledger in zip(names, ledgers, strict=True):
        yield f"- **{_plain(name)}**: {_plain(conditions_said(ledger))}. {counts_said(ledger)}."
        for claim, why in ledger.failures.items():
            yield f"  - not run: {_plain(claim)}: {_plain(why)}"
    if changes := changes_said(ledgers):
        yield from ["", f"{_plain(changes)}."]
    yield ""
    yield from [f"- *{verdict}*: {meaning}" for verdict, meaning in MEANINGS.items()]
    yield from ["", statistics_said(ledgers)]
    papers = by_paper(ledgers)
    for title, rows in papers.items():
        yield from ["", f"## {title}", "", f"| claim | where | {' | '.join(map(_plain, names))} |"]
        yield f"|---|---|{'---|' * len(names)}"
        yield from map(_row, rows)
    for title, rows in papers.items():
        yield from ["", f"## {title}: each claim"]
        for row in rows:
            yield from _section(row, names)


def _row(row: Row) -> str:
    claim = row.claim
    verdicts = [entry.verdict if entry else "" for entry in row.entries]
    if row.differs:
        verdicts = [f"**{verdict}** \\*" if verdict else "" for verdict in verdicts]
    link = f"[{_plain(claim.statement)}](#{_anchor(claim)})"
    return f"| {link} | {_plain(claim.source)} | {' | '.join(verdicts)} |"


def _section(row: Row, names: Sequence[str]) -> Iterator[str]:
    claim = row.claim
    yield from ["", f"### {claim.name}", "", f"{_plain(claim.statement)} ({_plain(claim.source)})"]
    yield from ["", f"How it is tried: {_plain(claim.protocol)}"]
    yield from ["", f"What decides, fixed beforehand: {_plain(claim.threshold)}.", ""]
    alike: dict[tuple[str, str, str], list[str]] = {}  # claims of formulas are the same on all data
    for name, entry in zip(names, row.entries, strict=True):
        if entry:
            alike.setdefault((entry.measured, entry.verdict, entry.why), []).append(_plain(name))
    for (measured, verdict, why), those in alike.items():
        said = f"*{verdict}*" + (f": {_plain(why)}" if why else "")
        yield f"- {', '.join(those)}: {_plain(measured)}. {said}"


def _anchor(claim: Entry) -> str:
    """Of its heading, as GitHub and others make it."""
    return claim.name.lower().replace("/", "")


def _plain(text: str) -> str:
    """Text whose signs are not taken for Markdown."""
    for sign in "\\*_`<[|":
        text = text.replace(sign, f"\\{sign}")
    return text
