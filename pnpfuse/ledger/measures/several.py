"""Models against several others: every difference seed by seed, and what that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Found, Verdict, corrected, fails, holds, untried
from pnpfuse.ledger.measures.paired import (
    GAIN,
    INTERVAL,
    LEVEL,
    NOT_LESS,
    interval,
    said_interval,
    seed_margin,
)
from pnpfuse.ledger.measures.wording import listed
from pnpfuse.ledger.training import Training

# That all of several differences lie above 0 is decided by the least favourable of them, each at
# its own level: an intersection-union test (Berger 1982) needs no correction for their number.
ALL_ABOVE = (
    f"for each of the others {GAIN}; the least favourable one decides, which needs no correction "
    "for their number"
)
# Either of two forms seems above by chance in (1 - LEVEL) / 2 of the cases, one of them in twice.
ONE_FORM = (
    "corrected where that is so for one of the two forms alone, which chance makes of equal models "
    f"in {1 - LEVEL:.0%} of the cases at most"
)
EPOCHS = 15  # fewer are no convergence
NONE_BELOW = f"for each of the others {NOT_LESS}; the least favourable one decides"


def against(
    bench: Bench,
    ours: Mapping[str, Training],
    others: Mapping[str, Training],
    condition: str = "none",
    measure: Callable[[Training], ArrayLike] | None = None,
    score: str = "",
    step: float | None = None,
) -> Found:
    """Scores of all models, and the difference of each of ours to each other, seed by seed.

    Parameters
    ----------
    ours, others : {name: training}
    condition : of the test scores
    measure : what is scored instead of them: training -> percent (seeds,)
    score : its name
    step : what it cannot tell apart; None, one row for test scores and nothing for others
    """
    if step is None:
        step = bench.step if measure is None else 0.0
    scores = {
        name: np.asarray(measure(one) if measure else bench.accuracy(one, condition), float)
        for name, one in {**others, **ours}.items()
    }
    return {
        "score": score or bench.score.replace("_", " "),
        "step": step,
        "epochs": bench.epochs,
        "ours": list(ours),
        "others": list(others),
        "models": {
            name: {"scores": scores[name], "parameters": parameters(bench, one)}
            for name, one in {**ours, **others}.items()
        },
        "differences": {
            one: {other: interval(scores[one] - scores[other], step) for other in others}
            for one in ours
        },
    }


def parameters(bench: Bench, training: Training) -> int:
    """How many the model of a training has, encoders and head included."""
    views = bench.rows(training)
    try:
        with torch.random.fork_rng(devices=[]):
            model = create_model(training.model, views.dims, views.classes, **training.options)
    except ValueError as error:
        raise CannotTry(f"{training} cannot be made for these data: {error}") from error
    return sum(weight.numel() for weight in model.parameters())


def judge_above(found: Found) -> Verdict:
    """Holds where each of ours is above every other beyond the spread."""
    short = {one: said for one in found["ours"] if (said := shortfall(found, one))}
    if not short:
        return holds()
    told = "; ".join(short.values())
    if above := [one for one in found["ours"] if one not in short]:
        return corrected(f"it is so for {' and '.join(above)} only: {told}{hurried(found)}")
    return fails(told + hurried(found))


def judge_not_below(found: Found) -> Verdict:
    """Holds where none of ours is below another by more than a seed makes."""
    below: list[str] = []
    unsure: list[str] = []
    for one, differences in found["differences"].items():
        for other, of in differences.items():
            if of["low"] < -seed_margin(found["models"][other]["scores"], found["step"]):
                (below if of["high"] < 0 else unsure).append(f"{one} than {other}")
    if below:
        return fails(f"lower beyond the spread: {listed(below)}{hurried(found)}")
    if unsure:
        return untried(f"too few seeds to say that it is no lower: {listed(unsure)}")
    return holds()


def hurried(found: Found) -> str:
    """What is to be said of a verdict on models that were trained for a few epochs only."""
    epochs = found["epochs"]
    return f"; after {epochs} epochs, which are no convergence" if epochs < EPOCHS else ""


def shortfall(found: Found, one: str) -> str:
    """Which others a model is not above, in words; empty if there are none."""
    differences = found["differences"][one]
    below = [other for other, of in differences.items() if of["high"] < 0]
    level = [other for other, of in differences.items() if of["low"] <= 0 <= of["high"]]
    said = [f"{one} is below {listed(below)}"] if below else []
    said += [f"{one} is not above {listed(level)} beyond the spread over seeds"] if level else []
    return ", ".join(said)


def say_scores(found: Found) -> str:
    """Scores with spread and parameters, and the least favourable difference of each of ours."""
    said = [
        f"{name} {spread(np.array(of['scores'], float))} % ({of['parameters'] / 1000:.0f}k)"
        for name, of in found["models"].items()
    ]
    least = []
    for one, differences in found["differences"].items():
        other = min(differences, key=lambda other: differences[other]["low"])
        least.append(f"{one} to {other} {said_interval(differences[other])}")
    several = "least favourable " if len(found["others"]) > 1 else ""
    return (
        f"{found['score']} after {found['epochs']} epochs (parameters): {', '.join(said)}; "
        f"{several}difference {', '.join(least)} points"
    )


def draw_differences(found: Found) -> Figure:
    """Every difference with its interval, the line of no difference marked."""
    named = [(one, other) for one in found["ours"] for other in found["others"]]
    figure = blank_figure(5.5, 1.2 + 0.32 * len(named))
    axes = figure.subplots()
    for place, (one, other) in enumerate(named):
        of = found["differences"][one][other]
        axes.plot([of["low"], of["high"]], [place, place], "-", color="tab:blue")
        axes.plot(of["mean"], place, "o", color="tab:blue")
    axes.axvline(0, color="0.4", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(named)), [f"{one} - {other}" for one, other in named])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference of {found['score']} / points,\nmean and {INTERVAL}")
    return figure
