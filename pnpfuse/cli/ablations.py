"""The rows of a paper's ablation tables as models to compare."""

from __future__ import annotations

from typing import Any

PAPERS = ("scope", "infobridge")

Plans = dict[str, tuple[str, dict[str, Any]]]  # {label: (name, options)}


def ablation_rows(papers: list[str], options: dict[str, Any]) -> tuple[Plans, dict[str, str]]:
    """The rows of the tables, and {row left out: the row that is the same model}.

    Parameters
    ----------
    papers : of `PAPERS`: SCOPE's Table 6, InfoBridge's Tables 2 and 3
    options : given to every row that has them and does not say otherwise
    """
    from pnpfuse.cli.model_options import known_options

    plans: Plans = {}
    same: dict[str, str] = {}
    for paper, label, row in _rows(papers):
        known = known_options("--ablations", paper)
        chosen = {key: value for key, value in options.items() if key in known} | row
        twins = [
            other for other, (name, its) in plans.items()
            if name == paper and known | its == known | chosen
        ]  # fmt: skip
        if twins:
            same[label] = twins[0]
        else:
            plans[label] = (paper, chosen)
    return plans, same


def ablations_note(same: dict[str, str]) -> str:
    """Which rows were left out."""
    said = ", ".join(f"{row} ({twin})" for row, twin in same.items())
    return f"rows left out, being the model in brackets: {said}"


def _rows(papers: list[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """(model, label, options) of every row."""
    from pnpfuse.fusion.infobridge import TABLE2, TABLE3
    from pnpfuse.fusion.scope import TABLE6

    tables = {"scope": (TABLE6,), "infobridge": (TABLE2, TABLE3)}
    return [
        (paper, label, row)
        for paper in dict.fromkeys(papers)
        for table in tables[paper]
        for label, row in table.items()
    ]
