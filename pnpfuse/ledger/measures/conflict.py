"""How the gradients of the task and of the other losses lie to each other along a training."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.batches import rows_of
from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.figures import blank_figure
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found, Verdict, fails, holds, untried
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views
from pnpfuse.weighting import TASK
from pnpfuse_analysis import grad_cosine

ROWS = 1000
CHANCE = 4.0  # standard deviations of the cosine of two random directions
EARLY = 5  # a training is early after one epoch in so many
AUXILIARY = "auxiliary"
ENCODERS, BLOCK = "encoders' outputs", "block's parameters"
STAGES = ("untrained", "early", "trained")
NO_OPPOSITION = (
    "in no stage, at no point and for no seed is the cosine below what random directions have by "
    f"chance, minus {CHANCE:g} over the root of the number of entries: what cannot be has no "
    "exception"
)
MEASURED = (
    f"The cosine of the task's gradient and that of the other losses, weighted as in training, on "
    f"{ROWS} training rows (all, if fewer) without dropout"
)


def early(bench: Bench) -> int:
    """Epochs of a short training, which stands for an early stage."""
    return max(1, bench.epochs // EARLY)


def model_at(bench: Bench, training: Training, seed: int, stage: str) -> FusionModel:
    """The model untrained, after a short training, or trained."""
    if stage == "untrained":
        return _untrained(bench, training, seed)
    if stage == "early" and (epochs := early(bench)) < bench.epochs:
        # A folder of its own: what a training is known by does not tell its length.
        short = dataclasses.replace(bench, epochs=epochs, folder=bench.folder / f"epochs-{epochs}")
        return short.model(training, seed)
    return bench.model(training, seed)


def course(bench: Bench, training: Training, stages: tuple[str, ...] = STAGES) -> Found:
    """{stage: {point: {"cosine", "rows", "ratio" (seeds,), "chance"}}}, see `compared`."""
    rows = drawn(bench.rows(training).train, ROWS, seed=0)
    found: Found = {}
    for stage in stages:
        each = [compared(model_at(bench, training, seed, stage), rows) for seed in bench.seeds]
        found[stage] = {
            point: {
                name: each[0][point][name]
                if name == "chance"
                else [one[point][name] for one in each]
                for name in each[0][point]
            }
            for point in each[0]
        }
    return found


def compared(model: FusionModel, rows: Views) -> dict[str, dict[str, float]]:
    """The gradients of the task and of the weighted other losses, compared at both points.

    {point: {"cosine", "rows", "ratio", "chance"}}: the cosine over all entries, the share of rows
    with a negative one, the norm of the other losses' gradient over the task's, and the cosine
    that random directions seldom exceed. NaN where one of the gradients vanishes.
    """
    losses, V = losses_of(model, rows)
    others = torch.stack([losses[name] * w for name, w in model.loss_weights.items()]).sum()
    two = {TASK: losses[TASK], AUXILIARY: others}
    found = {}
    for point, at in ((ENCODERS, list(V.values())), (BLOCK, list(model.block.parameters()))):
        report = grad_cosine(two, at, main=TASK, retain_graph=True)
        rate = np.nan if report.conflict_rate is None else float(report.conflict_rate)
        found[point] = {
            "cosine": float(report.cosine),
            "rows": rate,
            "ratio": float(report.norms[1] / report.norms[0]),
            "chance": CHANCE / sum(one.numel() for one in at) ** 0.5,
        }
    return found


def losses_of(model: FusionModel, rows: Views) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Every loss by name, not weighted, and the encoders' outputs V that they are functions of."""
    features, labels = rows_for(model, rows)
    masks = masks_for(model, rows)
    with torch.no_grad():
        V = model.encode(features, masks)
    V = {m: v.requires_grad_() for m, v in V.items()}  # (rows, l_m)
    fusion = model.fuse(V, masks)
    logits, losses = model.head(fusion, labels)
    return {TASK: cross_entropy(logits, labels)} | fusion.losses | losses, V


def oppositions(found: Found) -> list[tuple[str, str, dict[str, float], float]]:
    """(stage, point, interval of the cosine, chance) wherever there is a cosine."""
    return [
        (stage, point, interval(at["cosine"]), at["chance"])
        for stage, points in found["course"].items()
        for point, at in points.items()
        if None not in at["cosine"]
    ]


def judge_no_opposition(found: Found) -> Verdict:
    """Holds where the gradients nowhere oppose each other beyond chance."""
    each = oppositions(found)
    if not each:
        return untried("one of the two gradients vanishes everywhere")
    cosines = [
        (cosine, chance)
        for stage, point, _, chance in each
        for cosine in found["course"][stage][point]["cosine"]
    ]
    below = [cosine for cosine, chance in cosines if cosine < -chance]
    if not below:
        return holds()
    stage, point, of, _ = min(each, key=lambda one: one[2]["mean"])
    return fails(
        f"the two gradients oppose each other beyond chance in {len(below)} of {len(cosines)} "
        f"comparisons, a stage, a point and a seed each, most at the {point}, {stage}: cosine "
        f"{said_interval(of, 3)}"
    )


def say_course(found: Found) -> str:
    """The cosines, and the share of opposed rows."""
    said = []
    for stage, point, of, _ in oppositions(found):
        rows = found["course"][stage][point]["rows"]
        share = "" if None in rows else f", {np.mean(rows):.0%} of the rows opposed"
        said.append(f"{point}, {stage}: {said_interval(of, 3)}{share}")
    return f"cosine at the {'; '.join(said)}"


def draw_course(found: Found) -> Figure:
    """The cosine along the training with its interval, a colour a point, chance as a band."""
    figure = blank_figure(5, 3.2)
    axes = figure.subplots()
    stages = list(found["course"])
    for shift, point in ((-0.06, ENCODERS), (0.06, BLOCK)):
        rows = [(stages.index(s), of, c) for s, p, of, c in oppositions(found) if p == point]
        if not rows:
            continue
        places, intervals, chance = zip(*rows, strict=True)
        means = np.array([of["mean"] for of in intervals])
        ends = np.array([[of["low"], of["high"]] for of in intervals]).T
        axes.errorbar(
            np.array(places) + shift, means, np.abs(ends - means), fmt="o-", capsize=3,
            label=f"at the {point} (chance ±{chance[0]:.3f})",
        )  # fmt: skip
    axes.axhline(0, color="0.6", lw=0.8)
    axes.set_xticks(range(len(stages)), stages)
    axes.set_ylabel("cosine of the gradients")
    axes.legend(fontsize=8)
    axes.set_title(f"below 0 they oppose each other; {INTERVAL}", fontsize="small")
    return figure


def _untrained(bench: Bench, training: Training, seed: int) -> FusionModel:
    """As `fit` would begin with it."""
    views = bench.rows(training)
    options: dict[str, Any] = dict(training.options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create_model(training.model, views.dims, views.classes, **options)
    rows_of(model, views.train).set_scale(model)
    return model.eval()
