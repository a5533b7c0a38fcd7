"""One HTML page from tables, figures and sentences, with everything embedded."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under a header; numbers come in as text, formatted."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: heading, sentences, tables, figures as (caption, PNG bytes)."""

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, bytes]] = ()


def render(title: str, sections: Sequence[Section], facts: dict[str, Any]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title : str
        Heading of the page.
    sections : sequence of Section
        In order.
    facts : dict
        What made the page (version, seed, ...), shown at its end.
    """
    environment = Environment(
        loader=PackageLoader("pnpfuse"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["embedded"] = lambda content: base64.b64encode(content).decode()
    return environment.get_template("report.html").render(
        title=title, sections=sections, facts=facts
    )
