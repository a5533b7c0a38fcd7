"""What a diagnosis says, in sentences: every word follows from a measured value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from pnpfuse.diagnosis.fusion_points import ENCODED, FUSED
from pnpfuse.diagnosis.measures import MISSING
from pnpfuse.findings import spread

CHANCE = 0.05  # p-values up to this: none of 20 shuffles gives as much
COLLAPSED = 0.01  # a spread below this share of the features' size is said to be a point
_SHOWN = 6


def chief_points(diagnostics: xr.Dataset) -> list[str]:
    """The points that comprise others ("bottleneck" beside "bottleneck: image"), or all."""
    points = [str(point) for point in diagnostics["point"].values]
    return [point for point in points if ": " not in point] or points


def diagnosis(diagnostics: xr.Dataset) -> list[str]:
    """Sentences about a diagnosis, or about several over ("model", "seed") or one of them."""
    if "model" not in diagnostics.dims:
        return [sentence[0].upper() + sentence[1:] for sentence in _sentences(diagnostics)]
    return [
        f"{model}: {sentence}"
        for model in diagnostics["model"].values
        for sentence in _sentences(diagnostics.sel(model=model))
    ]


def looked_at(diagnostics: xr.Dataset) -> str:
    """Which rows the numbers are from."""
    return f"Rows looked at: {diagnostics.attrs.get('rows', 'unknown')}."


def missing(diagnostics: xr.Dataset) -> list[str]:
    """The notes that say what was asked for and has no number, and why."""
    notes = diagnostics.attrs.get("notes", "").split("\n")
    return [note for note in notes if note.startswith(MISSING)]


def _sentences(one: xr.Dataset) -> Iterator[str]:
    points = chief_points(one)[:_SHOWN]
    yield from _gradients(one, points)
    yield from _smoothness(one, points)
    if "effective_rank" in one and (known := _known(one["effective_rank"], points)):
        said = [
            f"{spread(one['effective_rank'].sel(point=point))} of "
            f"{float(one['width'].sel(point=point).mean()):.0f} directions at {point}"
            for point in known
        ]
        yield f"what spread there is lies in {_listed(said)}."
    yield from _information(one)
    if "label_information" in one and (known := _known(one["label_information"], points)):
        said = [
            f"{_estimate(one, 'label_information', p)} of "
            f"{spread(one['label_entropy'].sel(point=p), 2)} nat at {p}"
            for p in known
        ]
        yield f"of what there is to know of the labels a linear probe finds {_listed(said)}."


def _gradients(one: xr.Dataset, points: list[str]) -> Iterator[str]:
    if "conflict_rate" not in one:
        return
    main = one.attrs.get("main", "main")
    for loss in one["loss"].values:
        here = one.sel(loss=loss)
        known = _known(here["conflict_rate"], points)
        nowhere = [point for point in points if point not in known]
        if known:
            said = [_opposed(here.sel(point=point), point) for point in known]
            yield f"{main} and {loss} gradients oppose each other in {'; '.join(said)}."
        if nowhere:
            yield f"{main} and {loss} gradients do not meet at {_listed(nowhere)}."


def _opposed(here: xr.Dataset, point: str) -> str:
    """Of one loss at one point: how many rows oppose, and how strongly."""
    whole = f"of the whole gradients {spread(here['gradient_cosine'], 2)}"
    if here["conflict_rate"].ndim or "sample_cosine" not in here:
        rate = spread(100 * here["conflict_rate"])
        return f"{rate} % of the rows at {point} (cosine {whole})"
    cosines = here["sample_cosine"].values
    count, rows = int((cosines < 0).sum()), int(np.isfinite(cosines).sum())
    low, high = (100 * float(here[f"conflict_rate_{end}"]) for end in ("low", "high"))
    chance = float(here["chance_cosine"])
    return (
        f"{count} of {rows} rows at {point} (95 % interval {low:.0f} to {high:.0f} %; median "
        f"cosine of a row {float(here['median_cosine']):.2f}, by chance about ±{chance:.2f}; "
        f"{whole})"
    )


def _smoothness(one: xr.Dataset, points: list[str]) -> Iterator[str]:
    """Spread before roughness: the quotient is free of scale, so blind to a collapse to a point."""
    if "relative_spread" in one and (known := _known(one["relative_spread"], points)):
        size = {p: one["relative_spread"].sel(point=p) for p in known}
        said = [f"{_small(size[p])} at {p}" for p in known]
        yield f"features spread around their mean by this share of their size: {_listed(said)}."
        if alike := [p for p in known if float(size[p].max()) < COLLAPSED]:
            yield (
                f"collapse to a point: all rows have nearly the same features at "
                f"{_listed(alike)}; what follows is about the little that is left."
            )
    if "rayleigh_quotient" in one and (known := _known(one["rayleigh_quotient"], points)):
        quotient = one["rayleigh_quotient"]
        said = [spread(quotient.sel(point=p), 2) for p in known]
        if known == [ENCODED, FUSED] and said[0] != said[1]:
            found = f"goes from {said[0]} at {ENCODED} to {said[1]} at {FUSED}"
        else:
            found = "is " + _listed([f"{n} at {p}" for n, p in zip(said, known, strict=True)])
        if "rayleigh_noise" in one:
            noise = [f"{float(one['rayleigh_noise'].sel(point=p).mean()):.2f}" for p in known]
            found += f" (Gaussian noise: {_listed(noise)})"
        yield f"the Rayleigh quotient {found}."


def _information(one: xr.Dataset) -> Iterator[str]:
    if "mutual_information" not in one:
        return
    found = one["mutual_information"]
    known = found if "seed" not in found.dims else found.mean("seed")
    pairs = [str(p) for p in one["pair"].values if np.isfinite(known.sel(pair=p))]
    parts = {kind: _part_pairs(pairs, kind) for kind in ("own", "received")}
    others = [pair for pair in pairs if pair not in parts["own"] + parts["received"]]
    named = {
        "a modality's own shared and specific parts": parts["own"],
        "the shared part received from another modality and the specific part": parts["received"],
        ("other pairs of points" if any(parts.values()) else "pairs of points"): others,
    }
    for what, some in named.items():
        if not some:
            continue
        most = some[int(known.sel(pair=some).argmax("pair"))]
        beyond = (one["p_value"].sel(pair=some) <= CHANCE).sum("pair")
        shuffles = one.attrs.get("shuffles", 20)
        null = float(one["mutual_information_null"].sel(pair=most).mean())
        yield (
            f"information between {what}: more than in any of {shuffles} shuffles in "
            f"{spread(beyond, 0)} of {len(some)} pairs (by chance {len(some) / (shuffles + 1):.1f} "
            f"would be); the most {spread(found.sel(pair=most), 2)} nat (shuffled {null:.2f}), "
            f"{most}; leading {one.attrs['components']} principal components."
        )


def _part_pairs(pairs: list[str], kind: str) -> list[str]:
    """Pairs of a shared and a specific part, of the same modality ("own") or of two."""
    found = []
    for pair in pairs:
        first, _, second = pair.partition(" | ")
        if first.startswith("shared: ") and second.startswith("specific: "):
            own = first.removeprefix("shared: ") == second.removeprefix("specific: ")
            if own == (kind == "own"):
                found.append(pair)
    return found


def _known(values: xr.DataArray, points: list[str]) -> list[str]:
    return [point for point in points if np.isfinite(values.sel(point=point)).all()]


def _estimate(one: xr.Dataset, name: str, point: str) -> str:
    """A number with its interval, or with its spread over seeds."""
    value = one[name].sel(point=point)
    if value.ndim or f"{name}_low" not in one:
        return spread(value, 2)
    low, high = (float(one[f"{name}_{end}"].sel(point=point)) for end in ("low", "high"))
    return f"{float(value):.2f} ({low:.2f} to {high:.2f})"


def _small(values: xr.DataArray) -> str:
    """A share, with digits enough for a small one."""
    return spread(values, 2) if float(values.max()) >= COLLAPSED else f"{float(values.mean()):.1e}"


def _listed(said: list[str]) -> str:
    if len(said) < 2:
        return "".join(said)
    return f"{', '.join(said[:-1])} and {said[-1]}"
