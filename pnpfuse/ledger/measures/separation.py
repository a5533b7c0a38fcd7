"""How alike the parts are that a trained block divides its features into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import contrast, draw_difference, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views
from pnpfuse_analysis import cka

ROWS = 1000
LEAST = 20  # rows that a comparison needs
DRAWS = 5  # of random maps beside the trained ones
CKA = (
    "linear CKA (unbiased; 1: the same up to rotation and scale, 0: unrelated) on up to "
    f"{ROWS} test rows that have both"
)
Parts = dict[str, Tensor]  # {modality: (rows, width)}


class Divided(NamedTuple):
    """What a block was given and what it made of it, for the same rows.

    Attributes
    ----------
    encoded : V, the encoders' outputs
    shared, specific : each modality's own parts
    present : {modality: bool (rows,)}
    """

    encoded: Parts
    shared: Parts
    specific: Parts
    present: Parts


@torch.no_grad()
def divided(model: FusionModel, views: Views) -> Divided:
    """The parts of every row of `views`."""
    features, labels = rows_for(model, views)
    masks = masks_for(model, views)
    V = model.encode(features, masks)
    block = model.block
    assert isinstance(block, Exchange)
    shared, specific, _ = block.separate(V, masks)
    everyone = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    return Divided(V, shared, specific, masks or dict.fromkeys(V, everyone))


def each_divided(bench: Bench, training: Training) -> Iterator[Divided]:
    """For each seed, on test rows drawn once."""
    rows = drawn(bench.rows(training).test, ROWS, seed=0)
    for seed in bench.seeds:
        yield divided(bench.model(training, seed), rows)


def each_beside_chance(bench: Bench, training: Training) -> Iterator[tuple[Divided, list[Divided]]]:
    """For each seed the parts, and what blocks with newly drawn maps make of the same features."""
    rows = drawn(bench.rows(training).test, ROWS, seed=0)
    for seed in bench.seeds:
        model = bench.model(training, seed)
        found, drawn_anew = divided(model, rows), []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(DRAWS):
                fresh = create_model(model.name, model.dims, model.classes, **model.options)
                model.block = fresh.block.eval()
                drawn_anew.append(divided(model, rows))
        yield found, drawn_anew


def likeness(pairs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> float:
    """Mean CKA of pairs (x, y, rows that have both); CannotTry where no pair can be compared."""
    found = [float(cka(x[kept], y[kept])) for x, y, kept in pairs if int(kept.sum()) >= LEAST]
    if not np.isfinite(found).any():
        raise CannotTry(f"no pair of parts varies over {LEAST} test rows that have both")
    return float(np.nanmean(found))


def between(parts: Parts, present: Parts) -> float:
    """Mean CKA of the parts of different modalities."""
    return likeness(
        (parts[m], parts[k], present[m] & present[k]) for m, k in combinations(parts, 2)
    )


def within(found: Divided) -> float:
    """Mean CKA of each modality's own shared and specific part."""
    return likeness((found.shared[m], found.specific[m], found.present[m]) for m in found.shared)


def against_chance(bench: Bench, training: Training, part: str) -> Found:
    """Likeness between modalities of "shared" or "specific" parts, by trained and random maps."""
    trained, chance = [], []
    for one, fresh in each_beside_chance(bench, training):
        trained.append(between(getattr(one, part), one.present))
        chance.append(float(np.mean([between(getattr(new, part), new.present) for new in fresh])))
    return contrast(trained, chance, (f"{part} parts", f"{part} parts by random maps"))


def judge_more_alike(found: Found) -> Verdict:
    """Holds where the first are more alike than the second beyond the spread."""
    return _judged(found, found["difference"]["low"] > 0, "more alike than")


def judge_less_alike(found: Found) -> Verdict:
    """Holds where the first are less alike than the second beyond the spread."""
    return _judged(found, found["difference"]["high"] < 0, "less alike than")


def say_alike(found: Found) -> str:
    """Both likenesses and their difference."""
    one, other = found["names"]
    return (
        f"CKA of the {one} {np.mean(found['one']):.3f}, of the {other} "
        f"{np.mean(found['other']):.3f}: {said_interval(found['difference'], 3)}"
    )


def draw_alike(found: Found) -> Figure:
    """A line a seed between the two likenesses."""
    return draw_difference(found, "CKA, mean over the pairs")


def _judged(found: Found, so: bool, wanted: str) -> Verdict:
    if so:
        return holds()
    one, other = found["names"]
    of = found["difference"]
    if of["low"] <= 0 <= of["high"]:
        return fails(f"the {one} are not {wanted} the {other} beyond the spread over seeds")
    really = "less alike than" if wanted.startswith("more") else "more alike than"
    return fails(f"the {one} are {really} the {other}")
