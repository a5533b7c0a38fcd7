"""Whether critic and encoders are adversaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import draw_pairs
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval

RHO, ROWS, WARM, RATE = (0.9, 0.9), 256, 12, 3e-2
SEEDS, TURN = 5, 1e-3


def measure(bench: Bench) -> Found:
    """What a turn of each does to the loss of the critic."""
    turns = [_turns(seed) for seed in range(SEEDS)]
    return {
        name: interval([turn[i] for turn in turns]) for i, name in enumerate(("critic", "encoders"))
    }


def _turns(seed: int) -> tuple[float, float]:
    """Change of the critic's loss by a gradient step of the critic, and by one of the encoders."""
    V, T = draw_pairs(RHO, ROWS, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = {m: torch.randn(1, 4, requires_grad=True) for m in V}
        noise = {m: torch.randn(ROWS, 4) for m in V}
        bridge = InfoBridge(dict.fromkeys(V, 4), dict.fromkeys(V, 1), len(RHO))

        def loss() -> Tensor:
            z = {m: v @ encoders[m] + noise[m] for m, v in V.items()}
            return bridge(z, None, T, V)["nce"]

        descent = torch.optim.Adam(bridge.parameters(), lr=RATE)
        for _ in range(WARM):  # a critic that has not begun tells the encoders nothing
            descent.zero_grad()
            loss().backward()
            descent.step()
        players = list(bridge.parameters()), list(encoders.values())
        slopes = [torch.autograd.grad(loss(), players[i], allow_unused=True) for i in (0, 1)]
        bridge.eval()  # nothing is drawn: the same comparison before and after
        return _turn(loss, players[0], slopes[0]), _turn(loss, players[1], slopes[1])


def _turn(
    loss: Callable[[], Tensor], weights: Sequence[Tensor], slope: Sequence[Tensor | None]
) -> float:
    """The change of the loss by a step down a training batch's gradient, undone after it.

    Over the step's length times the gradient's, so that -1 is all that the gradient promised.
    """
    known = [(weight, s) for weight, s in zip(weights, slope, strict=True) if s is not None]
    steep = sum(float(s.square().sum()) for _, s in known) ** 0.5
    with torch.no_grad():
        before = float(loss())
        for weight, s in known:
            weight -= TURN / steep * s
        after = float(loss())
        for weight, s in known:
            weight += TURN / steep * s
    return (after - before) / (TURN * steep)


def judge(found: Found) -> Verdict:
    """Holds where the critic's turn lowers its loss and the encoders' raises it."""
    critic, encoders = found["critic"], found["encoders"]
    if critic["high"] < 0 < encoders["low"]:
        return holds()
    if critic["high"] < 0 and encoders["high"] < 0:
        return fails("encoders and critic lower the same loss: they work together")
    return fails("the turns change the critic's loss by no more than the starts differ")


def say(found: Found) -> str:
    """What each turn did."""
    each = [f"{name} {said_interval(one, 2)}" for name, one in found.items()]
    return f"change of the critic's loss by a step, -1 as its gradient promised: {', '.join(each)}"


CLAIM = Claim(
    statement="The joint optimisation is an adversarial training of the critic and the encoders.",
    source="InfoBridge Sec. 3, Eq. (9)",
    protocol=f"Linear encoders with noise and InfoBridge's critic, trained for {WARM} steps on "
    f"{ROWS} Gaussian pairs; then a step of length {TURN:g} down the training's gradient of the "
    "critic alone, and one of the encoders alone; the change of the critic's loss over all pairs, "
    f"-1 being what the gradient promised, over {SEEDS} starts.",
    threshold=f"the encoders' turn raises the loss that the critic's turn lowers, by the "
    f"{INTERVAL.replace('seeds', 'starts')}",
    measure=measure,
    judge=judge,
    say=say,
)
