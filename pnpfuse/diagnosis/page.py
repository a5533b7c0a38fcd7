"""A diagnosis as one HTML page: what it says, every number, every figure, and how to read them."""

from __future__ import annotations

from typing import Any

import xarray as xr

from pnpfuse.diagnosis.dataset import VARIABLES
from pnpfuse.diagnosis.figures import PANELS, caption
from pnpfuse.diagnosis.findings import diagnosis, looked_at
from pnpfuse.diagnosis.tables import meanings_table, tables
from pnpfuse.figures import png
from pnpfuse.report import Section, render

# {group: (heading, how to read its numbers)}
READING = {
    "gradients": (
        "Do the losses fight?",
        "A row's cosine is that between the gradients of two losses with respect to the features "
        "of that row. Below 0, a small step that lowers one loss raises the other. A conflict rate "
        "near 50 % with cosines of the size of chance means that the losses do not care about each "
        "other; well above, that they pull against each other. A high rate with tiny cosines is a "
        "conflict about next to nothing: read the cosine of the whole gradients beside it. Where "
        "the ratio is far from 1, one loss dominates, unless a weight in the training makes up "
        "for it.",
    ),
    "smoothness": (
        "Do the features collapse? Smoothness",
        "Look at the relative spread first: near 0, all rows have collapsed to one point. Each row "
        "is tied to its nearest neighbours, on a graph of each point's own. The Dirichlet energy "
        "says how far apart they are, and grows with the square of the features' scale; the mean "
        "average distance is 0 where neighbours point the same way. Both go to 0 with a collapse "
        "to a point; the Rayleigh quotient does not, as it is free of scale: the lower, the more "
        "the features lie in clusters. Quotient and distance depend on the numbers of rows, "
        "features and neighbours: compare each with that of noise beside it, and not points of "
        "different width or diagnoses with different rows with each other.",
    ),
    "geometry": (
        "Do the features collapse? Shape",
        "The effective rank counts the directions that the features use: near 1, they lie on a "
        "line. Uniformity is 0 if all rows point the same way, and falls as they spread over the "
        "sphere. CKA says which representations are the same up to a rotation; the features of "
        "largest scale dominate it. Alignment (0 the same, about 2 unrelated, 4 opposite) and gap "
        "(0 none, 2 opposite) compare two modalities in one space.",
    ),
    "information": (
        "What do the features know of each other?",
        "Estimated from the leading principal components, which are those of largest scale: where "
        "one part of a point is larger than the rest, all of them may come from it, and the rest "
        "is not seen. Kept variance says how much they hold. A p-value of 1/21 is the least that "
        "20 shuffles can give: none had as much. Of 21 such pairs without any information one has "
        "it by chance, and no correction for their number is made. The interval is that of "
        "sampling, not of the estimator's bias, which is downward for strong dependence. Negative "
        "values are noise around 0. Entropies are of continuous features: they grow with scale and "
        "may be negative; compare them between models of the same scale only.",
    ),
    "labels": (
        "What do the features know of the labels?",
        "The entropy of the labels less the loss of a linear classifier on rows that it has not "
        "seen: at least so much is known. Near the entropy of the labels, everything is; near 0 or "
        "below, a linear classifier finds nothing.",
    ),
}


def diagnosis_page(diagnostics: xr.Dataset, command: str = "") -> str:
    """The page as HTML, figures inside.

    Parameters
    ----------
    diagnostics : xarray.Dataset
        From `diagnose`.
    command : the command line that made it, if there is one
    """
    made_by = command or caption(diagnostics)
    meanings = meanings_table(diagnostics)
    short = [looked_at(diagnostics), *diagnosis(diagnostics)]
    sections = [Section("In short", short)]
    if meanings:
        sections.append(Section("The points", tables=[meanings]))
    for group, (heading, reading) in READING.items():
        found = tables(diagnostics, group)
        if not found:
            continue
        figures = [
            (f"{panel.said} {made_by}", png(panel.figure(diagnostics)))
            for panel in PANELS.values()
            if VARIABLES[panel.needs].group == group and panel.needs in diagnostics
        ]
        sections.append(Section(heading, [reading], found, figures))
    notes = diagnostics.attrs.get("notes", "")
    if notes:
        sections.append(Section("What has no value, and what to mind", notes.split("\n")))
    title = f"Diagnosis of {diagnostics.attrs['model']} on {diagnostics.attrs['data']}"
    return render(title, sections, _facts(diagnostics, command))


def _facts(diagnostics: xr.Dataset, command: str) -> dict[str, Any]:
    """What made the page: the Dataset's attributes, and the command."""
    left_out = ("title", "outcome", "notes", "meanings")
    said = {key: value for key, value in diagnostics.attrs.items() if key not in left_out}
    return ({"command": command} if command else {}) | said
