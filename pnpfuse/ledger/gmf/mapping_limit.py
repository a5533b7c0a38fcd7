"""What trained maps to n l features and back lose, over n."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pnpfuse.dominance.probing import SCORES
from pnpfuse.evaluation import accuracies
from pnpfuse.figures import blank_figure
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.encodings import encoded
from pnpfuse.ledger.measures.mapped import up_and_down
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.ledger.training import Training

CONCAT = Training("concat")
FACTORS, FEWER = (0.0625, 0.25, 1.0, 4.0), (0.0625, 1.0, 4.0)
STEPS, FEWER_STEPS, LR = 150, 80, 1e-2


def trainings(bench: Bench) -> list[Training]:
    """What gives the features."""
    return [CONCAT]


def measure(bench: Bench) -> Found:
    """What a classifier of the mapped features scores less than one of the features, over n."""
    factors = FEWER if bench.quick else FACTORS
    differences, own = [], []
    for seed in bench.seeds:
        learned, tested = (
            encoded(bench, CONCAT, seed, split, complete=True) for split in ("train", "test")
        )
        m = max(learned.features, key=lambda name: learned.features[name].shape[1])
        sides = [(part.features[m].float(), part.labels) for part in (learned, tested)]
        scale = sides[0][0].mean(0), sides[0][0].std(0).clamp(min=1e-6)
        sides = [((V - scale[0]) / scale[1], labels) for V, labels in sides]
        scores = [_held_out(bench, sides, n, seed) for n in (None, *factors)]
        own.append(scores[0])
        differences.append(scores[0] - np.array(scores[1:]))
    table = np.array(differences)  # (seeds, factors)
    return {
        "factors": factors,
        "own": own,
        "losses": table,
        "intervals": [interval(column, bench.step) for column in table.T],
        "first": interval(table[:, factors.index(1.0)] - table[:, -1], bench.step),
    }


def _held_out(
    bench: Bench, sides: list[tuple[Tensor, Tensor]], n: float | None, seed: int
) -> float:
    """Test score in percent of a linear classifier, trained with the maps before it."""
    (learned, labels), (tested, truth) = sides
    width, classes = learned.shape[1], bench.views.classes
    maps = [] if n is None else [nn.Parameter(U.float()) for U in up_and_down(width, n, seed)]
    weight, bias = nn.Parameter(torch.zeros(classes, width)), nn.Parameter(torch.zeros(classes))
    optimiser = torch.optim.AdamW([*maps, weight, bias], LR, weight_decay=1e-2)

    def logits(V: Tensor) -> Tensor:
        both = weight if not maps else weight @ (maps[1] @ maps[0])  # (classes, l)
        return V @ both.T + bias

    for _ in range(FEWER_STEPS if bench.quick else STEPS):
        optimiser.zero_grad()
        cross_entropy(logits(learned), labels).backward()
        optimiser.step()
    with torch.no_grad():
        predicted = logits(tested).argmax(1)
    score = dict(zip(SCORES, accuracies(truth.numpy(), predicted.numpy()), strict=True))
    return 100 * score[bench.score]


def judge(found: Found) -> Verdict:
    """Holds where the loss falls to nothing as n grows beyond 1; corrected where 1 suffices."""
    narrow, wide = found["intervals"][0], found["intervals"][-1]
    if not narrow["low"] > 0:
        return fails("below n = 1, too, nothing that the labels need is lost beyond the spread")
    if wide["low"] > 0:
        return fails(
            f"at n = {found['factors'][-1]:g} the maps still lose beyond the spread over seeds"
        )
    better = [n for n, d in zip(found["factors"], found["intervals"], strict=True) if d["high"] < 0]
    if better:
        said = " and ".join(f"{n:g}" for n in better)
        return corrected(f"trained maps are even better than none at n = {said}")
    if found["first"]["low"] > 0:
        return holds()
    lossy = [d["low"] > 0 for d in found["intervals"]]
    enough = found["factors"][len(lossy) - lossy[::-1].index(True)]  # from there on none loses
    return corrected(
        f"n = {enough:g} is enough: from there on nothing is lost beyond the spread over seeds"
    )


def say(found: Found) -> str:
    """The loss at each n."""
    said = ", ".join(
        f"{d['mean']:+.1f} ({d['low']:.1f} to {d['high']:.1f}) at n = {n:g}"
        for n, d in zip(found["factors"], found["intervals"], strict=True)
    )
    return f"{spread(np.array(found['own']))} % without maps; points lost with them {said}"


def draw(found: Found) -> Figure:
    """The loss over n with its interval."""
    figure = blank_figure(4.5, 3.4)
    axes = figure.subplots()
    low, mean, high = (
        np.array([d[name] for d in found["intervals"]]) for name in ("low", "mean", "high")
    )
    axes.errorbar(found["factors"], mean, (mean - low, high - mean), fmt="o-", capsize=3)
    axes.axhline(0, color="0.4", lw=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("n")
    axes.set_ylabel("points lost to the maps")
    return figure


CLAIM = Claim(
    statement="The performance on features mapped to n times their width and back comes ever "
    "nearer to the original as n grows, without exceeding it; below n = 1 information is lost.",
    source="GMF Theorem 3.3, Eq. 8; App. D, Fig. 11",
    protocol="The encoded features of the widest modality are frozen. A linear classifier learns "
    f"from them, and from U1 U2 f with U1 and U2 trained along, {STEPS} steps of AdamW (quick "
    f"{FEWER_STEPS}) on the training rows, for n = {FACTORS}; test scores, the same seeds.",
    threshold=f"holds if the {INTERVAL} of the loss lies above 0 at the smallest n, not at the "
    "largest, and n = 1 still loses beside the largest; corrected if n = 1 does not (the "
    "smallest n that is enough is named), or if maps are better than none",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
    trainings=trainings,
)
