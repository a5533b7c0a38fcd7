"""The main job, end to end: physics -> hyperparameters -> fusion -> diagnostics -> report."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from pnpfuse import findings
from pnpfuse.comparison import compare
from pnpfuse.console import summary_lines
from pnpfuse.data import Views, load_views
from pnpfuse.diagnosis import MEASURES, diagnose
from pnpfuse.diagnosis.figures import diagnosis_figure
from pnpfuse.diagnosis.findings import chief_points, diagnosis
from pnpfuse.diagnosis.fusion_points import part_pairs
from pnpfuse.diagnosis.tables import diagnostics_table
from pnpfuse.figures import (
    cell_figure,
    comparison_figure,
    png,
    separation_figure,
)
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.encoders import default_width
from pnpfuse.fusion.model import FusionModel
from pnpfuse.mapping import Hyperparameters, hyperparameters, mapping_dataset
from pnpfuse.provenance import provenance
from pnpfuse.report import Section, render
from pnpfuse.storage import save_bytes, save_dataset, save_text
from pnpfuse.threads import cpu_threads
from pnpfuse_solvers import Cell, solve_equilibrium

VOLTAGES = (1.0, 5.0, 20.0, 40.0)  # kB T/e
LENGTHS = (0.1, 0.3, 1.0, 2.0, 4.0, 7.0, 10.0, 20.0, 30.0, 50.0, 100.0)  # l/lambda_D
LENGTH_VOLTAGES = (1.0, 5.0, 10.0, 20.0)
CONTACTS = ("closed", "reservoir")
DRAWN = (5.0, 20.0)
PAPER, MAPPED = "rPMR (4, 0.5)", "rPMR mapped"


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything the demo measured.

    Attributes
    ----------
    fig8 : Dataset over (contact, voltage)
    lengths : Dataset over (length_ratio, voltage)
    hyperparameters : Hyperparameters
        With one b a modality, from the widths that reach the fusion block.
    comparison : Dataset over (model, seed, condition)
    diagnostics : Dataset over (model, seed)
    """

    fig8: xr.Dataset
    lengths: xr.Dataset
    hyperparameters: Hyperparameters
    comparison: xr.Dataset
    diagnostics: xr.Dataset


def run_demo(
    out: str | os.PathLike[str] = "out/demo",
    *,
    seed: int = 0,
    seeds: int = 3,
    epochs: int = 30,
    progress: bool = True,
) -> list[str]:
    """Run the whole chain on the digits and write its results; return a summary.

    Parameters
    ----------
    out : path
        Folder for the NetCDF files, the PNG figures and ``report.html``.
    seed : int
        First seed; the same seed gives the same numbers.
    seeds : int
        How many trainings of each model, with seed, seed + 1, ...
    epochs : int
        Of each training.
    progress : bool
        Show bars, if the output is a terminal.

    Returns
    -------
    list of str
        At most 25 lines; the last is the report's path.
    """
    seed, seeds = check_count("seed", seed, least=0), check_count("seeds", seeds)
    epochs = check_count("epochs", epochs)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with cpu_threads(1):  # the same numbers whatever the machine, and the models are small
        results, solutions = measure(
            load_views("digits"), range(seed, seed + seeds), epochs, progress
        )
    save_dataset(results.fig8, folder / "fig8.nc")
    save_dataset(results.lengths, folder / "lengths.nc")
    save_dataset(mapping_dataset(results.hyperparameters), folder / "mapping.nc")
    save_dataset(results.comparison, folder / "comparison.nc")
    save_dataset(results.diagnostics, folder / "diagnostics.nc")
    figures = {
        "fig8": png(cell_figure(*solutions)),
        "lengths": png(separation_figure(results.lengths)),
        "comparison": png(comparison_figure(results.comparison)),
        "diagnostics": png(diagnosis_figure(_drawn(results.diagnostics))),
    }
    for name, drawn in figures.items():
        save_bytes(drawn, folder / f"{name}.png")
    facts = {
        "pnpfuse": version("pnpfuse"),
        "seeds": f"{seed} to {seed + seeds - 1}",
        "epochs": epochs,
        "data": f"digits: {results.comparison.attrs['rows']}, {results.comparison.attrs['dims']}",
        "files": "fig8.nc, lengths.nc, mapping.nc, comparison.nc, diagnostics.nc beside this page",
    }
    page = render(
        "pnpfuse demo: from ions in a cell to fused features", _sections(results, figures), facts
    )
    path = save_text(page, folder / "report.html")
    return [*summary_lines(results), str(path)]


def measure(
    views: Views, seeds: Iterable[int], epochs: int, progress: bool = True
) -> tuple[Results, list[xr.Dataset]]:
    """Run the chain; return what it measured and the solved cells to draw."""
    quiet = None if progress else True
    cells = {(c, v): Cell.fig8(v, contact=c) for c in CONTACTS for v in VOLTAGES}
    solved = {
        key: solve_equilibrium(cell) for key, cell in tqdm(cells.items(), "Fig. 8", disable=quiet)
    }
    # The widths that reach the fusion block: those of the encoders' outputs.
    widths = {m: default_width(d) for m, d in views.dims.items()}
    found = hyperparameters(widths)
    reports: dict[tuple[str, int], xr.Dataset] = {}

    def inspect(label: str, seed: int, model: FusionModel) -> None:
        if label in (PAPER, MAPPED):
            reports[label, seed] = diagnose(
                model, views, pairs=part_pairs(model), only=MEASURES[:4]
            )

    comparison = compare(
        {
            "Concat": "concat",
            "GMF": "gmf",
            PAPER: ("rpmr", {"n": 4, "b": 0.5}),
            MAPPED: ("rpmr", {"n": found.n, "b": found.b}),
        },
        views,
        seeds=seeds,
        epochs=epochs,
        inspect=inspect,
        progress=progress,
    )
    diagnosed = comparison["model"].sel(model=[PAPER, MAPPED])
    rows = [
        xr.concat(
            [reports[label, seed] for seed in comparison["seed"].values],
            comparison["seed"],
            combine_attrs="drop_conflicts",
        )
        for label in diagnosed.values
    ]
    diagnostics = xr.concat(rows, diagnosed, combine_attrs="drop_conflicts")
    results = Results(fig8_dataset(solved), separation_dataset(), found, comparison, diagnostics)
    return results, [solved[c, v] for c in CONTACTS for v in DRAWN]


def fig8_dataset(solved: Mapping[tuple[str, float], xr.Dataset]) -> xr.Dataset:
    """Solutions side by side over (contact, voltage); the meshes differ, so x is over node."""
    rows = []
    for contact in CONTACTS:
        row = []
        for voltage in VOLTAGES:
            solution = solved[contact, voltage]
            position = ("node", solution["x"].values, solution["x"].attrs)
            row.append(solution.drop_vars("x").rename_dims(x="node").assign(position=position))
        rows.append(xr.concat(row, "voltage", combine_attrs="drop_conflicts"))
    joined = xr.concat(rows, "contact", combine_attrs="drop_conflicts")
    joined.attrs["title"] = "the cell of PMR Fig. 8 at several voltages"
    return joined.assign_coords(
        contact=("contact", list(CONTACTS), {"units": "1", "long_name": "contact"}),
        voltage=("voltage", list(VOLTAGES), {"units": "kB T/e", "long_name": "+-voltage"}),
    )


def separation_dataset() -> xr.Dataset:
    """Separation of the closed 1:1 cell over (length_ratio, voltage)."""
    share = np.array(
        [
            [
                float(solve_equilibrium(Cell.dimensionless(r, v)).separation[0])
                for v in LENGTH_VOLTAGES
            ]
            for r in LENGTHS
        ]
    )
    long_name = "share of the cations on their own side"
    return xr.Dataset(
        {
            "separation": (
                ("length_ratio", "voltage"),
                share,
                {"units": "1", "long_name": long_name},
            )
        },
        coords={
            "length_ratio": ("length_ratio", list(LENGTHS), {"units": "1", "long_name": "l/λ_D"}),
            "voltage": (
                "voltage",
                list(LENGTH_VOLTAGES),
                {"units": "kB T/e", "long_name": "+-voltage"},
            ),
        },
        attrs=provenance("separation in closed 1:1 cells at fixed voltage"),
    )


def _drawn(diagnostics: xr.Dataset) -> xr.Dataset:
    """The part of the diagnostics that the figure shows."""
    points = chief_points(diagnostics)
    return diagnostics.isel(seed=0).sel(model=PAPER, point=points, other_point=points)


def _sections(results: Results, figures: Mapping[str, bytes]) -> list[Section]:
    return [
        Section(
            "Physics: the cell of PMR Fig. 8",
            findings.physics(results.fig8, results.lengths),
            [findings.fig8_table(results.fig8)],
            [
                ("Potential and concentrations over x; b marks the interface.", figures["fig8"]),
                ("Separation against the length of a closed cell.", figures["lengths"]),
            ],
        ),
        Section(
            "Mapping: (n, b) of each modality from its own cell",
            findings.mapping(results.hyperparameters),
            [findings.mapping_table(results.hyperparameters)],
        ),
        Section(
            "Fusion: handwritten digits as three modalities",
            findings.fusion(results.comparison, PAPER, MAPPED),
            [findings.comparison_table(results.comparison)],
            [("Test accuracy; bars are one standard deviation.", figures["comparison"])],
        ),
        Section(
            "Diagnostics of the trained rPMR",
            diagnosis(results.diagnostics),
            [diagnostics_table(results.diagnostics)],
            [(f"{PAPER}, first seed.", figures["diagnostics"])],
        ),
    ]
