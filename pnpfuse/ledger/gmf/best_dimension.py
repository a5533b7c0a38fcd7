"""Whether one width of the features is best."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.ledger.training import Training

WIDTHS, FEWER = (1, 2, 4, 8, 16, 32, 64, 256), (1, 16, 256)


def _widths(bench: Bench) -> tuple[int, ...]:
    return FEWER if bench.quick else WIDTHS


def _modality(bench: Bench) -> str:
    """The widest one: there is most to choose."""
    return max(bench.views.dims, key=lambda m: bench.views.dims[m])


def _training(bench: Bench, width: int) -> Training:
    return Training("concat", {"width": width}, only=(_modality(bench),))


def trainings(bench: Bench) -> list[Training]:
    """One a width, on one modality."""
    return [_training(bench, width) for width in _widths(bench)]


def measure(bench: Bench) -> Found:
    """Cross-entropy on test rows over the width, and how clear of the best the others are."""
    widths = _widths(bench)
    losses = np.array(
        [bench.scores(_training(bench, w))["loss"].sel(condition="none").values for w in widths]
    )  # (widths, seeds)
    best = int(losses.mean(1).argmin())
    # A width is compared with the one that the other seeds find best, not with its own luck.
    beyond = np.empty_like(losses)
    for seed in range(losses.shape[1]):
        others = np.delete(losses, seed, axis=1).mean(1)
        beyond[:, seed] = losses[:, seed] - losses[int(others.argmin()), seed]
    return {
        "modality": _modality(bench),
        "widths": widths,
        "losses": losses,
        "best": widths[best],
        "beyond": [interval(row) for row in beyond],
    }


def judge(found: Found) -> Verdict:
    """Holds where one width is best beyond the spread, corrected where the ends are worse."""
    widths, beyond = found["widths"], found["beyond"]
    alike = [
        w
        for w, row in zip(widths, beyond, strict=True)
        if w != found["best"] and not row["low"] > 0
    ]
    if not alike and found["best"] not in (widths[0], widths[-1]):
        return holds()
    if widths[0] in alike or found["best"] == widths[0]:
        return fails(f"a width of {widths[0]} is as good as any")
    if widths[-1] in alike or found["best"] == widths[-1]:
        return fails(f"too low a width is worse, too high a one, {widths[-1]}, is not")
    said = ", ".join(map(str, alike))
    return corrected(
        f"both ends are worse, but a range is best: {said} cannot be told from {found['best']}"
    )


def say(found: Found) -> str:
    """The loss at the best width and at both ends."""
    means = np.mean(np.array(found["losses"]), axis=1)
    best = found["widths"].index(found["best"])
    said = ", ".join(
        f"{means[i]:.3f} at {found['widths'][i]}" for i in sorted({0, best, len(means) - 1})
    )
    first, last = found["beyond"][0], found["beyond"][-1]
    return (
        f"{found['modality']}: held-out cross-entropy {said} nats; {found['best']} is lowest; the "
        f"ends lie {first['mean']:.3f} ({first['low']:.3f} to {first['high']:.3f}) and "
        f"{last['mean']:.3f} ({last['low']:.3f} to {last['high']:.3f}) above the best"
    )


def draw(found: Found) -> Figure:
    """The loss over the width, a line a seed."""
    figure = blank_figure(4.5, 3.4)
    axes = figure.subplots()
    losses = np.array(found["losses"])
    axes.plot(found["widths"], losses, color="tab:blue", alpha=0.3)
    axes.plot(found["widths"], losses.mean(1), "o-", color="tab:blue")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("width of the features")
    axes.set_ylabel("held-out cross-entropy / nats")
    axes.set_title(found["modality"], fontsize="medium")
    return figure


CLAIM = Claim(
    statement="There is one width of the features with the least conditional entropy of the "
    "labels; every other one, too low or too high, has more.",
    source="GMF Theorem 3.2, Eq. 6; App. C, Fig. 8 and 9",
    protocol="A classifier of the widest modality alone, its encoder's output of width "
    f"{', '.join(map(str, WIDTHS))} (quick {', '.join(map(str, FEWER))}), the same seeds; "
    "cross-entropy on the test rows, from above H(Y|f). Each seed's losses are compared with its "
    "loss at the width that the other seeds find best. The encoder's hidden layer keeps its width.",
    threshold=f"holds if the {INTERVAL} of the difference lies above 0 for every other width, and "
    "the best is neither the smallest nor the largest; corrected if it does at both ends only",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
    trainings=trainings,
)
