"""Results as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pnpfuse.findings import (
    comparison_table,
    condition_label,
    fig8_table,
    mapping_table,
    summary,
)
from pnpfuse.history import BOUNDS
from pnpfuse.mapping import Hyperparameters, hyperparameters_from
from pnpfuse.mapping.answer import ratio_text
from pnpfuse.report import Table

if TYPE_CHECKING:
    from pnpfuse.demo import Results
    from pnpfuse.training import History
    from pnpfuse.views import Views

# A class of more than so many times its equal share: an accuracy may be little more than its rate.
UNEQUAL = 1.5


def table_lines(table: Table) -> list[str]:
    """A table in columns: the first to the left, numbers to the right."""
    rows = [list(table.header), *map(list, table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def cell_lines(solution: xr.Dataset) -> list[str]:
    """A solved cell: scales, interface, separation, charges and certificates."""
    length = float(solution["length"])
    reason = str(solution["interface_reason"].item())
    b = f"{float(solution['interface']) / length:.6f} l, cations and anions equally many"
    width = f"{float(solution['interface_width']) / length:.6f} l"
    shares = zip(solution["species"].values, solution["separation"].values, strict=True)
    left, right = solution["surface_charge"].values
    where = " (of the middle of the undetermined stretch)" if reason else ""
    lines = [
        f"{solution.attrs['title']}: {solution.attrs['outcome']}",
        f"  length           {length:.6g} m = {float(solution['length_ratio']):.6g} Debye lengths "
        f"of {float(solution['debye_length']):.6g} m",
        f"  interface        {reason or b}",
        f"  width (10-90 %)  {'none' if reason else width}",
        "  separation       " + ", ".join(f"{name} {s:.6f}" for name, s in shares) + where,
        f"  electrodes       {left:.6g}, {right:.6g} C/m^2",
        f"  free energy      {float(solution['free_energy']):.6g} J/m^2",
        f"  residual         {float(solution['residual']):.1e} after "
        f"{int(solution['iterations'])} Newton steps; layer resolution "
        f"{float(solution['layer_resolution']):.3f} (below 1 is resolved)",
    ]
    note = solution.attrs["notes"]
    return lines + [f"  note             {note}"] if note else lines


def mapping_lines(found: Hyperparameters) -> list[str]:
    """Mapped hyperparameters, where they are not the strong field's, where the analogy is void."""
    lines = [f"n = {found.n:g} at {found.voltage:g} kB T/e", *table_lines(mapping_table(found))]
    return [*lines, *_doubts(found)]


def _doubts(found: Hyperparameters) -> list[str]:
    said = {"not at the limit": found.off_limit, "void": found.void}
    return [f"{word}: {why}" for word, why in said.items() if why]


def inverse_lines(solution: xr.Dataset) -> list[str]:
    """The solved cell that stands for (n, b), and the widths and hyperparameters it stands for."""
    found = hyperparameters_from(solution)
    ratio = -float(solution["valence"].sel(species="specific"))
    widths = (
        f"a modality {1 / ratio:.6g} times as wide as the narrowest"
        if ratio <= 1.0
        else "no modality, none being narrower than the narrowest"
    )
    return [
        f"n = {found.n:g}, b = {found.b:.8f} at {found.voltage:g} kB T/e",
        f"  l*/l_m           {ratio:.8g} (valence of the specific species): {widths}",
        f"  limit of b       {ratio_text(found.rows()[0].limit)}",
        f"  regime           {found.regime}",
        *cell_lines(solution),
        *_doubts(found),
    ]


def history_lines(history: History) -> list[str]:
    """The losses that a training ended with, and what there is to say about its data."""
    settings = history.settings
    epochs = len(history.losses["task"])
    steps = epochs * -(-settings["rows"] // settings["batch_size"])
    last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.losses.items())
    lines = [f"losses after {epochs} epochs ({steps} steps): {last}"]
    if history.weights:
        phi = ", ".join(f"{name} {values[-1]:.3g}" for name, values in history.weights.items())
        lines.append(f"weights of the losses: {phi}")
    if history.validation:
        best = history.best_epoch or epochs
        scores = ", ".join(
            f"{name.replace('_', ' ')} {values[best - 1]:.4g}{' nat' * (name in BOUNDS)}"
            for name, values in history.validation.items()
        )
        lines.append(f"validation after epoch {best}: {scores}")
    note = settings.get("note")
    return [*lines, f"note: {note}"] if note else lines


def evaluation_lines(scores: xr.Dataset) -> list[str]:
    """Accuracies in every condition."""
    percent = 100 * scores[["accuracy", "balanced_accuracy"]]
    rows = [
        [
            condition_label(str(condition)),
            *(f"{float(percent[name].sel(condition=condition)):.1f}" for name in percent),
        ]
        for condition in scores["condition"].values
    ]
    return table_lines(Table(["modalities", "accuracy / %", "balanced / %"], rows))


def compared_lines(comparison: xr.Dataset, test: Views, score: str | None = None) -> list[str]:
    """A comparison's `score`; None, its accuracy, and the balanced one with unequal classes.

    With these, what always naming the most frequent class would reach is an accuracy, too.
    """
    largest, unequal = largest_class(test)
    both = ["accuracy", "balanced_accuracy"] if unequal else ["accuracy"]
    lines = [
        line for name in ([score] if score else both) for line in score_lines(comparison, name)
    ]
    if unequal and score != "balanced_accuracy":
        lines.append(
            f"unequal classes: always naming the most frequent one has accuracy {largest:.1%} and "
            f"balanced accuracy {1 / len(np.unique(test.labels)):.1%}"
        )
    return lines


def largest_class(test: Views) -> tuple[float, bool]:
    """Share of the most frequent class, and whether accuracies may be little more than that."""
    largest = float(np.bincount(test.labels).max() / len(test))
    return largest, largest * test.classes > UNEQUAL


def score_lines(comparison: xr.Dataset, score: str) -> list[str]:
    """One of a comparison's scores with its spread, and what the marks mean."""
    frame = summary(comparison, score)
    rows = [[str(model), *cells] for model, cells in zip(frame.index, frame.values, strict=True)]
    # The mark is padded, so that the numbers stand below each other with and without it.
    rows = [[row[0], *(c if c.endswith("*") else f"{c}  " for c in row[1:])] for row in rows]
    header = ["model", *(f"{condition_label(str(c))}  " for c in frame.columns)]
    return [*table_lines(Table(header, rows)), frame.attrs["caption"]]


def retrieval_lines(found: xr.Dataset) -> list[str]:
    """The scores of a retrieval, cut off at each k and of whole lists."""
    columns = ["map_at_k", "recall_at_k", "chance_recall_at_k", "precision_at_k"]
    rows = [
        [str(k), *(f"{float(found[name].sel(k=k)):.4f}" for name in columns)]
        for k in found["k"].values
    ]
    said = found.attrs
    return [
        f"{said['query']} -> {said['searched']}, relevant: the same {said['relevance']}, "
        f"parts: {said['parts']}; {said['queries']} queries, {said['gallery']} items",
        *table_lines(Table(["k", "mAP@k", "R@k", "R@k by chance", "P@k"], rows)),
        f"whole lists: mAP {float(found['mean_average_precision']):.4f}, mean reciprocal rank "
        f"{float(found['mean_reciprocal_rank']):.4f}, median rank {float(found['median_rank']):g}",
    ]


def summary_lines(results: Results) -> list[str]:
    """The demo in at most 24 lines."""
    from pnpfuse.diagnosis.findings import diagnosis  # which comes with torch

    comparison = results.comparison.sel(condition=["none", "each"])
    first = results.diagnostics.isel(model=[0])
    said = [sentence.split(": ", 1)[1] for sentence in diagnosis(first)]
    return [
        *table_lines(fig8_table(results.fig8)),
        f"n = {results.hyperparameters.n:g} and b from each modality's cell: "
        + ", ".join(f"{row[0]} {row[1]}" for row in mapping_table(results.hyperparameters).rows),
        *table_lines(comparison_table(comparison)),
        f"diagnostics of {first['model'].values[0]} ({spread_note(results)}):",
        *(f"  {sentence}" for sentence in said),
    ]


def spread_note(results: Results) -> str:
    """What the +- in the summary means."""
    count = results.comparison.sizes["seed"]
    return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed"
