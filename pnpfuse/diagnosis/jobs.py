"""Every set of numbers of a diagnosis: where it belongs, and what measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pnpfuse.diagnosis import measures
from pnpfuse.diagnosis.dataset import VARIABLES
from pnpfuse.diagnosis.measures import MISSING, Index, Measured, Numbers
from pnpfuse.diagnosis.observation import Conflict, Features

_HALF = 0.5  # of the variance; with less kept, information is about the smaller part


class Job(NamedTuple):
    """A set of numbers: their place in the arrays, where and what in words, what measures them."""

    at: Index
    where: str
    what: str
    measure: Callable[[], Numbers]


def measure_all(
    chosen: list[str],
    seen: Features,
    conflict: Conflict,
    pairs: list[tuple[str, str]],
    settings: Mapping[str, int],
    progress: bool,
) -> tuple[Measured, dict[str, list]]:
    """All numbers, and the labels of the dimensions."""
    points = list(seen.values)
    cosines = {point: torch.cat(found).T.numpy() for point, found in conflict.cosines.items()}
    coords: dict[str, list] = {
        "point": points,
        "other_point": points,
        "pair": [f"{first} | {second}" for first, second in pairs],
        "loss": list(conflict.names),
        "row": list(range(next((c.shape[1] for c in cosines.values()), 0))),
    }
    measured = Measured(
        {
            name: tuple(len(coords[dim]) for dim in variable.dims)
            for name, variable in VARIABLES.items()
            if variable.group in chosen
        }
    )
    for said, where in seen.notes.items():
        measured.notes[said] = list(where)
    if "gradients" in chosen:
        measured.notes |= conflict.notes
        if not conflict.names:
            measured.note(
                f"{MISSING}gradients: there is one loss, and no other to compare its gradient with",
                conflict.main,
            )
        for i, found in enumerate(cosines.values()):  # (L, rows), points in their order
            measured.values["sample_cosine"][:, i] = found
    jobs = list(_jobs(chosen, seen, conflict, pairs, settings))
    with tqdm(jobs, "diagnose", disable=None if progress else True) as bar:
        for job in bar:
            bar.set_postfix_str(job.where)
            measured.put(*job)
    _mind(measured, chosen, seen, pairs, settings)
    return measured, coords


def _jobs(
    chosen: list[str],
    seen: Features,
    conflict: Conflict,
    pairs: list[tuple[str, str]],
    settings: Mapping[str, int],
) -> Iterator[Job]:
    components, seed = settings["components"], settings["seed"]
    points = list(seen.values)
    measure: Callable[[], Numbers]
    for i, point in enumerate(points):
        (x,) = seen.rows(point)
        if "gradients" in chosen and conflict.names:
            yield Job(i, point, "gradients", partial(_chance, conflict, point))
            for k, loss in enumerate(conflict.names):
                measure = partial(_conflict, conflict, point, k)
                yield Job((k, i), f"{loss}, {point}", "gradients", measure)
        if "smoothness" in chosen:
            yield Job(i, point, "spread", _of_several(partial(measures.spread, x), x))
            measure = partial(measures.smoothness, x, settings["neighbours"], seed)
            yield Job(i, point, "smoothness", _of_several(measure, x))
        if "geometry" in chosen:
            yield Job(i, point, "geometry", _of_several(partial(measures.shape, x), x))
            for k in range(i + 1):
                both = seen.rows(point, points[k])
                measure = _of_several(partial(measures.similarity, *both), both[0])
                yield Job(([i, k], [k, i]), f"{point} | {points[k]}", "CKA", measure)
        if "information" in chosen:
            measure = partial(measures.uncertainty, x, components)
            yield Job(i, point, "entropy", _of_several(measure, x))
        labels = seen.labels_at(point)
        if "labels" in chosen and labels is not None:
            measure = partial(measures.label_knowledge, x, labels, seed)
            yield Job(i, point, "label information", _of_several(measure, x))
    for i, pair in enumerate(pairs):
        x, y = seen.rows(*pair)
        where = " | ".join(pair)
        if "geometry" in chosen and seen.one_space(*pair):
            measure = _of_several(partial(measures.closeness, x, y), x)
            yield Job(i, where, "alignment and gap", measure)
        if "information" in chosen:
            measure = _of_several(partial(measures.dependence, x, y, components, seed), x)
            yield Job(i, where, "mutual information", measure)


def _of_several(measure: Callable[[], Numbers], rows: Tensor) -> Callable[[], Numbers]:
    """The measure where there are at least two rows, else what says that there are not."""

    def refuse() -> Numbers:
        raise ValueError(f"needs at least 2 finite rows; found {len(rows)}")

    return measure if len(rows) > 1 else refuse


def _chance(conflict: Conflict, point: str) -> Numbers:
    return {"chance_cosine": conflict.sizes[point] ** -0.5}


def _conflict(conflict: Conflict, point: str, place: int) -> Numbers:
    cosines = torch.cat(conflict.cosines[point])[:, place].numpy()
    return measures.conflict(conflict.report(point), place, cosines)


def _mind(
    measured: Measured,
    chosen: list[str],
    seen: Features,
    pairs: list[tuple[str, str]],
    settings: Mapping[str, int],
) -> None:
    """Note what the numbers themselves do not show."""
    if "labels" in chosen and seen.labels is None:
        measured.note(
            f"{MISSING}label information: no labels were found in the batches; give labels, a "
            "function of a batch", "labels",
        )  # fmt: skip
    for i, point in enumerate(seen.values):
        (x,) = seen.rows(point)
        if "smoothness" in chosen and len(x) / 2 < settings["neighbours"] + 1 <= len(x):
            measured.note(
                f"smoothness: {settings['neighbours']} neighbours are most of the {len(x)} rows: "
                "the graph tells little", point,
            )  # fmt: skip
        if "information" in chosen and (share := measured.values["kept_variance"][i]) < _HALF:
            measured.note(
                "information: the leading components hold less than half of the variance; what "
                "the rest knows is not seen", f"{point}: {share:.0%}",
            )  # fmt: skip
    for pair in pairs if "information" in chosen else []:
        if len(seen.rows(*pair)[0]) and measures.contains(*seen.rows(*pair)):
            measured.note(
                "mutual information: one of the two points contains the other; the number says "
                "which components were kept", " | ".join(pair),
            )  # fmt: skip
