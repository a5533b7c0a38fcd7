"""Figures of smoothing: energy and Rayleigh quotient over the number of steps, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from pnpfuse.figures import CYCLE, blank_figure
from pnpfuse.oversmoothing.retrained import NETWORKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "dirichlet_energy": "Dirichlet energy",
    "rayleigh_quotient": "Rayleigh quotient",
    "accuracy": "test accuracy",
}


def smoothing_figure(study: xr.Dataset) -> Figure:
    """Energy (logarithmic), Rayleigh quotient and, after training, accuracy over T.

    A line an operator, the same in every figure: the mean over the seeds, with bars of one
    standard deviation.

    Parameters
    ----------
    study : xarray.Dataset
        From `smoothing_study`, with one mask and one xi selected, or from `retrained_study`.

    Raises
    ------
    ValueError
        For a Dataset of another kind, or with several masks or rates.
    """
    if not {"dirichlet_energy", "rayleigh_quotient", "steps", "operator"} <= set(study.variables):
        raise ValueError(
            "study must come from smoothing_study or retrained_study; found the variables "
            f"{sorted(map(str, study.variables))}"
        )
    several = {name: study.sizes[name] for name in ("mask", "xi") if study.sizes.get(name, 1) > 1}
    if several:
        raise ValueError(
            f"study must have one mask and one xi, found {several}; select them, as in "
            "study.sel(mask='neighbours', xi=0.3)"
        )
    wanted = ("operator", "seed", "steps")
    study = study.squeeze([name for name in ("mask", "xi") if name in study.dims])
    study = study.expand_dims([name for name in wanted if name not in study.dims])
    shown = [name for name in PANELS if name in study]
    operators = study["operator"].values
    places = {name: place for place, name in enumerate(dict.fromkeys([*NETWORKS, *operators]))}
    figure = blank_figure(3.6 * len(shown), 3.4)
    for axis, name in zip(figure.subplots(1, len(shown)), shown, strict=True):
        for operator in operators:
            turn, place = divmod(places[operator], len(CYCLE))
            line = study[name].sel(operator=operator)  # (seed, steps)
            mean = line.mean("seed").values
            spread = line.std("seed", ddof=1).values if line.sizes["seed"] > 1 else None
            axis.errorbar(
                line["steps"].values, mean, yerr=spread, marker="o", ms=3, capsize=2,
                color=CYCLE[place], label=str(operator),
                # Dashes above full lines: where two coincide, both are seen.
                ls=":" if turn else ("-", "--")[place % 2], zorder=2 + place % 2,
            )  # fmt: skip
        axis.set(xlabel="steps T", ylabel=PANELS[name], xticks=study["steps"].values)
        axis.spines[["top", "right"]].set_visible(False)
        if name == "dirichlet_energy":
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, frameon=False, fontsize=8, ncols=len(labels), loc="outside upper center"
    )
    return figure
