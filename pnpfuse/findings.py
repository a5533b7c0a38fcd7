"""What the numbers say, in sentences and tables: every word follows from a measured value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from pnpfuse.mapping import Hyperparameters
from pnpfuse.mapping.answer import ratio_text
from pnpfuse.regimes import decoded, longer_cells
from pnpfuse.report import Table

# PMR Sec. 3.2 and App. E.2: "a residual below 1e-8 %".
PAPER_RESIDUAL = 1e-10


def condition_label(condition: str) -> str:
    """What a condition of `evaluate` means, in words."""
    labels = {"none": "all present", "each": "one missing (mean)"}
    return labels.get(condition, condition.replace(":", " "))


def spread(values: xr.DataArray | np.ndarray, digits: int = 1) -> str:
    """Mean and standard deviation (n - 1) over seeds; one seed has no spread."""
    numbers = np.asarray(values, dtype=float)
    if numbers.size == 1:
        return f"{numbers.item():.{digits}f}"
    return f"{numbers.mean():.{digits}f} ± {numbers.std(ddof=1):.{digits}f}"


def near_best(values: xr.DataArray, lowest: bool = False) -> np.ndarray:
    """Which models are as good as the best one, bool (model,), for scores over (model, seed).

    A model is, if its mean lies within one standard error of the best mean: that of the difference
    of the two means, sqrt(sd_1^2 / seeds + sd_2^2 / seeds). One seed has none, and so no answer:
    all False. `lowest` if the best score is the lowest.
    """
    values = values.transpose("model", "seed")
    seeds = values.sizes["seed"]
    if seeds < 2:
        return np.zeros(values.sizes["model"], bool)
    means = values.mean("seed").values * (-1 if lowest else 1)  # (model,)
    variances = values.var("seed", ddof=1).values / seeds  # (model,), of the means
    best = int(means.argmax())
    return means[best] - means <= np.sqrt(variances[best] + variances)


def summary(comparison: xr.Dataset, variable: str = "accuracy") -> pd.DataFrame:
    """A comparison as a table of texts: a row a model, a column a condition.

    Parameters
    ----------
    comparison : from `compare`, over (model, seed, condition)
    variable : "accuracy" and "balanced_accuracy" in percent, "loss", or another one

    Returns
    -------
    pandas.DataFrame
        "mean ± sd" over the seeds, with " *" where a model is within one standard error of the
        condition's best (see `near_best`): among these the data show no difference.
        ``attrs["caption"]`` says so, with the number of seeds.

    Raises
    ------
    ValueError
        for a Dataset that is no comparison, or lacks the variable
    """
    if variable not in comparison or set(comparison[variable].dims) != {
        "model", "seed", "condition",
    }:  # fmt: skip
        found = {str(name): values.dims for name, values in comparison.data_vars.items()}
        raise ValueError(
            f"comparison needs {variable!r} over (model, seed, condition); found {found}"
        )
    percent = variable.endswith("accuracy")
    values = comparison[variable] * (100 if percent else 1)
    table = {}
    for condition in values["condition"].values:
        column = values.sel(condition=condition)
        marks = near_best(column, lowest=variable == "loss")
        table[str(condition)] = [
            spread(column.sel(model=model), 1 if percent else 3) + (" *" if mark else "")
            for model, mark in zip(column["model"].values, marks, strict=True)
        ]
    frame = pd.DataFrame(table, index=pd.Index(map(str, values["model"].values), name="model"))
    seeds = values.sizes["seed"]
    frame.attrs["caption"] = f"{variable.replace('_', ' ')}{' / %' if percent else ''}, " + (
        f"mean ± sd ({seeds} seeds); * within one standard error of the best: no difference"
        if seeds > 1
        else "one seed, which cannot tell a difference from chance"
    )
    return frame


def difference(comparison: xr.Dataset, one: str, other: str, condition: str) -> str:
    """How two models' accuracies differ, seed by seed; inside the spread is no difference."""
    accuracy = 100 * comparison["accuracy"].sel(condition=condition)
    gaps = (accuracy.sel(model=one) - accuracy.sel(model=other)).values
    where = {"none": "with all modalities", "each": "with one missing"}[condition]
    said = f"{where}, {one} against {other}: {spread(gaps)} points"
    if gaps.size < 2:
        return f"{said}; one seed cannot tell a difference from chance"
    if np.all(np.sign(gaps) == np.sign(gaps[0])) and abs(gaps.mean()) > gaps.std(ddof=1):
        return f"{said}, {'higher' if gaps[0] > 0 else 'lower'} with every seed"
    return f"{said}, no difference beyond the spread"


def physics(fig8: xr.Dataset, lengths: xr.Dataset) -> list[str]:
    """Sentences about the Fig. 8 cell and about longer ones."""
    residual = float(fig8["residual"].max())
    ratio = float(fig8["length_ratio"].isel(contact=0, voltage=0))
    debye = float(fig8["debye_length"].isel(contact=0, voltage=0))
    holds = "holds" if residual < PAPER_RESIDUAL else "does not hold"
    said = [
        f"Residual at most {residual:.1e} over {fig8['residual'].size} cells; the paper's "
        f"'below 1e-8 %' {holds}."
    ]
    stated = "as the paper requires" if ratio > 1 else "contrary to the l > λ_D it states"
    said.append(
        f"The paper's own constants give λ_D = {debye * 1e9:.1f} nm for l = 10 nm: "
        f"l/λ_D = {ratio:.4f}, {stated}."
    )
    line = lengths["separation"].sel(voltage=5.0).values
    less = bool(np.all(np.diff(line) < 0))
    said.append(
        f"At a fixed ±5 kB T/e the share of cations on their side goes from {line[0]:.4f} "
        f"(l/λ_D = {float(lengths['length_ratio'][0]):.3f}) to {line[-1]:.4f} "
        f"(l/λ_D = {float(lengths['length_ratio'][-1]):g}): "
        + (
            "a longer cell separates less. PMR Sec. 3.2 says the opposite; App. E.2 agrees."
            if less
            else "a longer cell does not always separate less."
        )
    )
    return said


def fig8_table(fig8: xr.Dataset) -> Table:
    """λ_D, l/λ_D, b, width, separation and residual of every cell."""
    rows = []
    for contact in fig8["contact"].values:
        for voltage in fig8["voltage"].values:
            cell = fig8.sel(contact=contact, voltage=voltage)
            length = float(cell["length"])
            rows.append(
                [
                    f"{contact}, ±{voltage:g}",
                    f"{float(cell['debye_length']) * 1e9:.2f}",
                    f"{float(cell['length_ratio']):.4f}",
                    f"{float(cell['interface']) / length:.4f}",
                    f"{float(cell['interface_width']) / length:.4f}",
                    f"{float(cell['separation'].min()):.4f}",
                    f"{float(cell['residual']):.1e}",
                ]
            )
    header = ["cell", "λ_D / nm", "l/λ_D", "b/l", "width/l", "separation", "residual"]
    return Table(header, rows, "Voltages in kB T/e; width from 10 % to 90 % cations.")


def mapping(found: Hyperparameters) -> list[str]:
    """Sentences about the mapped hyperparameters."""
    said = [
        f"n = {found.n:g} is the cell's length in Debye lengths; b its interface over its length.",
        f"The analogy is void: {found.void}."
        if found.void
        else "The analogy stands for all: the species are apart in every cell.",
    ]
    return [*said, f"Not the strong field's: {found.off_limit}."] if found.off_limit else said


def mapping_table(found: Hyperparameters) -> Table:
    """b beside its limit, separation, interface width and regime of each modality."""
    rows = [
        [
            row.modality,
            f"{row.b:.4f}",
            ratio_text(row.limit),
            f"{row.separation:.4f}",
            f"{row.width:.4f}",
            row.regime,
        ]
        for row in found.rows()
    ]
    return Table(["modality", "b", "limit of b", "separation", "width/l", "regime"], rows)


def regimes(found: xr.Dataset) -> list[str]:
    """Sentences about a regime map: what its cells are, and what a longer cell does."""
    total = found["b"].size
    names, counts = np.unique(decoded(found["regime"]), return_counts=True)
    shares = ", ".join(f"{n} {c / total:.1%}" for n, c in zip(names, counts, strict=True))
    said = [f"{found.attrs['outcome'][0].upper()}{found.attrs['outcome'][1:]}: {shares}."]
    (less, steps), (more, along) = longer_cells(found)
    if steps:
        fixed_field = (
            "; in a fixed field, the voltage in proportion to the length, it does not fall in "
            f"{more} of {along}"
        )
        said.append(
            f"At a fixed voltage separation does not rise with the length in {less} of {steps} "
            f"steps along the map{fixed_field if along else ''}."
        )
    if steps and along and less == steps and more > 0.95 * along:
        said.append(
            "PMR Sec. 3.2 (much longer than the Debye length separates) holds in a fixed field, "
            "App. E.2 (much shorter, or a strong field, does) at a fixed voltage."
        )
    return said


def fusion(comparison: xr.Dataset, paper: str, mapped: str) -> list[str]:
    """Sentences about accuracies."""
    pairs = [(paper, "Concat"), ("GMF", "Concat"), (mapped, paper)]
    said = [difference(comparison, *pair, c) for pair in pairs for c in ("none", "each")]
    return [sentence[0].upper() + sentence[1:] + "." for sentence in said]


def comparison_table(comparison: xr.Dataset) -> Table:
    """Accuracy of every model in every condition."""
    accuracy = 100 * comparison["accuracy"]
    conditions = list(accuracy["condition"].values)
    rows = [
        [
            str(model),
            f"{int(comparison['parameters'].sel(model=model)):,}",
            *(spread(accuracy.sel(model=model, condition=c)) for c in conditions),
        ]
        for model in accuracy["model"].values
    ]
    return Table(
        ["model", "parameters", *map(condition_label, conditions)],
        rows,
        f"Test accuracy in percent, mean ± standard deviation over {comparison.sizes['seed']} "
        "seeds; 'only' means that all other modalities are missing.",
    )
