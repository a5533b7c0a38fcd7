"""Laziness as tables and lines: every mark follows from the spread over the seeds."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

import numpy as np
import pandas as pd
import xarray as xr

from pnpfuse.console import table_lines
from pnpfuse.findings import near_best, spread
from pnpfuse.fusion.arguments import check_choice
from pnpfuse.report import Table

# What may stand for a modality's performance in a joint model, and its like for it alone.
READINGS = {"probe": "alone_probe", "only": "alone", "probe_beside": "alone_probe"}
SAID = {
    "probe": "linear probe of what the joint model makes of the modality, the others missing",
    "only": "the joint model, all other modalities missing",
    "probe_beside": "linear probe of what the joint model makes of the modality beside the others",
}
FUSION = "Fusion"
NONE = "-"
LINE = 100  # characters
NEEDED = (*READINGS, *READINGS.values(), "fused", "laziness", "contribution", "gain")


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
        Texts in percent, "mean ± sd" over the seeds, " *" where a model is within one standard
        error of the row's best (see `near_best`). The column "alone" is the reference, read in
        the same way, and has no part in the marks. ``attrs["caption"]`` says so.

    Raises
    ------
    ValueError
        for a Dataset that is not from `laziness`, another reading or score
    """
    values = chosen(dataset, score)
    alone = values[READINGS[check_choice("reading", reading, tuple(READINGS))]]
    rows = {str(m): 100 * values[reading].sel(modality=m) for m in values["modality"].values}
    rows[FUSION] = 100 * values["fused"]
    table = {
        name: [
            spread(100 * alone.sel(modality=name)) if name != FUSION else NONE,
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
        f"{score.replace('_', ' ')} / %, {SAID[reading]}; alone: the same, "
        "trained on it alone; "
        f"always naming the most frequent class: {100 * float(values['chance']):.1f}; "
        + (
            f"mean ± sd ({seeds} seeds); * within one standard error of the row's best model: "
            "no difference"
            if seeds > 1
            else "one seed, which cannot tell a difference from chance"
        )
    )
    return frame


def laziness_lines(dataset: xr.Dataset, score: str = "accuracy") -> Iterator[str]:
    """Two readings as tables; laziness, contribution and gain in points; what a probe may mistake.

    The last is about models that refine a modality by the others.
    """
    for reading in ("probe", "only"):
        frame = laziness_table(dataset, reading, score)
        yield from frame_lines(frame)
        yield ""
    yield from frame_lines(points_table(dataset, score))
    values = chosen(dataset, score)
    for model in values["model"].values:
        own = values.sel(model=model)
        if bool((own["probe"] == own["probe_beside"]).all()):
            continue
        read = ", ".join(
            f"{m} {spread(100 * own['probe_beside'].sel(modality=m))}"
            for m in values["modality"].values
        )
        yield from wrap(
            f"{model} refines a modality by the others: with these present its probes read {read}, "
            "which says little of one modality",
            LINE,
        )


def points_table(dataset: xr.Dataset, score: str = "accuracy") -> pd.DataFrame:
    """Laziness and contribution by modality, and gain, in percentage points; a row a model."""
    values = chosen(dataset, score)
    best = str(values["best"].values)
    table: dict[str, dict[str, str]] = {}
    for model in values["model"].values:
        own = values.sel(model=model)
        row = table[str(model)] = {}
        for m in values["modality"].values:
            row[f"lazy on {m}"] = points(own["laziness"].sel(modality=m))
            row[f"{m} adds"] = points(own["contribution"].sel(modality=m))
        row[f"gain over {best} alone"] = points(own["gain"])
    frame = pd.DataFrame.from_dict(table, orient="index")
    frame.index.name = "points"
    frame.attrs["caption"] = (
        "lazy on m: probe of m alone - probe of m in the joint model; m adds: all present - "
        "without m; gain: all present - best alone; ~ no difference beyond the spread"
    )
    return frame


def points(difference: xr.DataArray) -> str:
    """A difference over the seeds in percentage points, with " ~" where it is none.

    It is one if every seed has it with the same sign, and its mean exceeds its standard deviation.
    """
    gaps = 100 * difference.values
    said = spread(gaps)
    if gaps.size < 2:
        return said
    one_sign = np.all(np.sign(gaps) == np.sign(gaps[0]))
    return said if one_sign and abs(gaps.mean()) > gaps.std(ddof=1) else f"{said} ~"


def frame_lines(frame: pd.DataFrame) -> Iterator[str]:
    """A table of texts in columns, and its caption."""
    cells = [
        [str(name), *map(_padded, row)] for name, row in zip(frame.index, frame.values, strict=True)
    ]
    yield from table_lines(Table([frame.index.name, *(f"{c}  " for c in frame.columns)], cells))
    yield from wrap(frame.attrs["caption"], LINE)


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
