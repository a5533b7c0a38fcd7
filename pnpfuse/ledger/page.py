"""A ledger as one HTML page, with everything embedded."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from pnpfuse.figures import png
from pnpfuse.ledger.catalogue import PAPERS, claims
from pnpfuse.ledger.claim import VERDICTS
from pnpfuse.ledger.record import Entry, Ledger
from pnpfuse.ledger.tables import conditions_line, counts_line


def ledger_page(ledger: Ledger, command: str = "") -> str:
    """Return the page as HTML: the table of all claims, then each with its figure.

    Parameters
    ----------
    ledger : from `run_ledger` or `Ledger.load`
    command : what made it, shown at the end
    """
    environment = Environment(
        loader=PackageLoader("pnpfuse"), autoescape=True, undefined=StrictUndefined
    )
    papers = [
        (title, [entry for entry in ledger.entries if entry.paper == paper])
        for paper, title in PAPERS.items()
    ]
    facts = {name: value for name, value in ledger.conditions.items() if name != "quick"}
    return environment.get_template("ledger.html").render(
        papers=[(title, entries) for title, entries in papers if entries],
        figures={entry.name: _figure(entry) for entry in ledger.entries},
        colours=dict(zip(VERDICTS, ("yes", "nearly", "no", "unknown"), strict=True)),
        summary=[conditions_line(ledger), counts_line(ledger)],
        failures=ledger.failures,
        facts=facts | ({"command": command} if command else {}),
    )


def _figure(entry: Entry) -> str:
    """The claim's figure as base64 of a PNG; empty where it has none or was not tried."""
    draw = claims([entry.name])[entry.name].draw
    return base64.b64encode(png(draw(entry.found))).decode() if draw and entry.found else ""
