"""Laziness as tables and lines: every mark follows from the spread over the seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from pnpfuse.console import table_lines
from pnpfuse.findings import near_best, spread
from pnpfuse.fusion.arguments import check_choice
from pnpfuse.report import Table

READINGS = ("probe", "only", "probe_beside")
FUSION = "Fusion"
NONE = "-"
NEEDED = ("only", "probe", "probe_beside", "alone", "fused", "laziness", "contribution", "gain")


def laziness_table(
    dataset: xr.Dataset, reading: str = "probe", score: str = "accuracy"
) -> pd.DataFrame:
    """The form of SCOPE's Table 2: a row a modality and one for the fusion, a column a model.

    Parameters
    ----------
    dataset : from `laziness`
    reading : what stands for a modality's performance in a joint model: "probe", "only", or
        "probe_beside"
    score : "accuracy" or "balanced_accuracy"

    Returns
    -------
    pandas.DataFrame
        Texts in percent, "mean ± sd" over the seeds. The column "alone" is the reference and has
        no part in the marks: " *" where a model is within one standard error of the row's best
        (see `near_best`). ``attrs["caption"]`` says so.

    Raises
    ------
    ValueError
        for a Dataset that is not from `laziness`, another reading or score
    """
    values = chosen(dataset, score)
    check_choice("reading", reading, READINGS)
    rows = {str(m): 100 * values[reading].sel(modality=m) for m in values["modality"].values}
    rows[FUSION] = 100 * values["fused"]
    table = {
        name: [
            spread(100 * values["alone"].sel(modality=name)) if name != FUSION else NONE,
            *(
                spread(row.sel(model=model)) + (" *" if mark else "")
                for model, mark in zip(row["model"].values, near_best(row), strict=True)
            ),
        ]
        for name, row in rows.items()
    }
    columns = ["alone", *map(str, values["model"].values)]
    frame = pd.DataFrame.from_dict(table, orient="index", columns=columns)
    frame.index.name = "modality"
    seeds = values.sizes["seed"]
    frame.attrs["caption"] = (
        f"{score.replace('_', ' ')} / %, {SAID[reading]}; alone: trained on it alone; "
        f"most frequent class {100 * float(values['chance']):.1f}; "
        + (
            f"mean ± sd ({seeds} seeds); * within one standard error of the row's best model: "
            "no difference"
            if seeds > 1
            else "one seed, which cannot tell a difference from chance"
        )
    )
    return frame


SAID = {
    "probe": "linear probe of what the joint model makes of the modality, the others missing",
    "only": "the joint model, all other modalities missing",
    "probe_beside": "linear probe of what the joint model makes of the modality beside the others",
}


def laziness_lines(dataset: xr.Dataset, score: str = "accuracy") -> Iterator[str]:
    """Both readings as tables, and then laziness, contribution and gain in points."""
    for reading in ("probe", "only"):
        frame = laziness_table(dataset, reading, score)
        cells = [
            [str(name), *map(_padded, row)]
            for name, row in zip(frame.index, frame.values, strict=True)
        ]
        yield from table_lines(Table(["", *(f"{name}  " for name in frame.columns)], cells))
        yield frame.attrs["caption"]
        yield ""
    values = chosen(dataset, score)
    best = str(values["best"].values)
    header = ["points"]
    for m in values["modality"].values:
        header += [f"lazy on {m}  ", f"{m} adds  "]
    rows = []
    for model in values["model"].values:
        row = [str(model)]
        for m in values["modality"].values:
            for name in ("laziness", "contribution"):
                row.append(_padded(points(values[name].sel(model=model, modality=m))))
        rows.append([*row, _padded(points(values["gain"].sel(model=model)))])
    yield from table_lines(Table([*header, f"gain over {best} alone  "], rows))
    yield (
        "lazy on: alone - probe; adds: all present - without it; ~ within one standard error of 0: "
        "no difference"
    )


def points(difference: xr.DataArray) -> str:
    """A difference over the seeds in percentage points, "~" where it is no difference from 0.

    It is none where its mean is within one standard error, sd / sqrt(seeds), of 0.
    """
    gaps = 100 * difference.values
    said = spread(gaps)
    if gaps.size < 2:
        return said
    return said if abs(gaps.mean()) > gaps.std(ddof=1) / np.sqrt(gaps.size) else f"{said} ~"


def chosen(dataset: xr.Dataset, score: str) -> xr.Dataset:
    """The Dataset of one score; ValueError if it is not from `laziness`."""
    lacking = [name for name in NEEDED if name not in dataset]
    if lacking:
        raise ValueError(
            f"dataset must be from laziness; it lacks {lacking} and has {list(dataset.data_vars)}"
        )
    return dataset.sel(score=check_choice("score", score, dataset["score"].values.tolist()))


def _padded(cell: str) -> str:
    """With room for a mark, so that numbers stand below each other with and without one."""
    return cell if cell[-1] in "*~" else f"{cell}  "
