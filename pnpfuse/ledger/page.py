"""Ledgers as one HTML page, with everything embedded."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from pnpfuse.figures import png
from pnpfuse.ledger.beside import by_paper, changes_said, conditions_said, counts_said, labels
from pnpfuse.ledger.claim import VERDICTS
from pnpfuse.ledger.meanings import MEANINGS, statistics_said
from pnpfuse.ledger.record import TITLE, Entry, Ledger

MARKS = dict(zip(VERDICTS, ("yes", "nearly", "no", "unknown"), strict=True))


def ledger_page(*ledgers: Ledger, command: str = "") -> str:
    """Return the page as HTML: the table of all claims, then each with its figures.

    Parameters
    ----------
    *ledgers : from `run_ledger` or `Ledger.load`, several side by side
    command : what made it, shown at the end
    """
    environment = Environment(
        loader=PackageLoader("pnpfuse"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    names = labels(ledgers)
    return environment.get_template("ledger.html").render(
        title=TITLE,
        papers=by_paper(ledgers),
        ledgers=list(zip(names, ledgers, strict=True)),
        figure=_figure,
        named=lambda row: [one for one in zip(names, row.entries, strict=True) if one[1]],
        marks=MARKS,
        meanings=MEANINGS,
        statistics=statistics_said(ledgers),
        conditions_said=conditions_said,
        counts_said=counts_said,
        changes=changes_said(ledgers),
        command=command,
    )


def _figure(entry: Entry) -> tuple[str, str]:
    """The claim's figure as base64 of a PNG, or why there is none; both empty if it has none."""
    try:
        figure = entry.figure()
        return base64.b64encode(png(figure)).decode() if figure else "", ""
    except Exception as error:  # another version's ledger, or a fault in the claim's file
        return "", f"no figure: {type(error).__name__}: {error}"
