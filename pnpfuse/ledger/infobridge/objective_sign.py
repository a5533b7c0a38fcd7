"""Which way the objective is to go."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import draw_pairs
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval

RHO, ROWS, STEPS, RATE = (0.9, 0.9), 128, 25, 3e-3
STARTS, HELD = 3, 400


def measure(bench: Bench) -> Found:
    """What descending the loss does to the objective of Eq. (7) on other rows."""
    return {"change": interval([_change(start) for start in range(STARTS)])}


def _change(start: int) -> float:
    """L_NCE after the steps less before, nats."""
    other = draw_pairs(RHO, HELD, start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(start)
        encoders = nn.ModuleDict({m: nn.Linear(1, 4) for m in "xy"})
        bridge = InfoBridge(dict.fromkeys("xy", 4), dict.fromkeys("xy", 1), len(RHO))
        descent = torch.optim.Adam([*encoders.parameters(), *bridge.parameters()], lr=RATE)
        before = _objective(bridge, encoders, *other)
        for step in range(STEPS):
            V, T = draw_pairs(RHO, ROWS, (start + 1) * STEPS + step)
            descent.zero_grad()
            bridge({m: encoders[m](v) for m, v in V.items()}, None, T, V)["nce"].backward()
            descent.step()
        return _objective(bridge, encoders, *other) - before


@torch.no_grad()
def _objective(
    bridge: InfoBridge, encoders: nn.ModuleDict, V: dict[str, Tensor], T: Tensor
) -> float:
    """Eq. (7) of the critic, over all pairs of rows of the same T; not by the loss itself."""
    z = torch.stack([encoders[m](v) for m, v in V.items()])
    rows = bridge.critic.embed(bridge.critic.weights(), bridge.scale(z, T), T)
    scores = bridge.critic.matrix(bridge.critic.weights(), rows, T, slice(None))[0]
    logits = (scores - bridge.margin).double()
    drawn = (T == T[:, None]) & ~torch.eye(len(T), dtype=torch.bool)
    return float(
        logsigmoid(logits.diagonal()).mean() + bridge.ratio * logsigmoid(-logits[drawn]).mean()
    )


def judge(found: Found) -> Verdict:
    """Holds where it rises."""
    change = found["change"]
    if change["low"] > 0:
        return holds()
    if change["high"] < 0:
        return fails("the objective falls")
    return fails("it does not rise beyond the spread over starts")


def say(found: Found) -> str:
    """The change."""
    return f"objective on other rows: {said_interval(found['change'], 2)} nats"


CLAIM = Claim(
    statement="L_NCE, a log-likelihood in spite of its name, is raised in training: the overall "
    "loss subtracts alpha times it.",
    source="InfoBridge Sec. 3, Eqs. (1), (7) and (10)",
    protocol=f"Linear encoders and InfoBridge's critic on Gaussian pairs in {len(RHO)} contexts of "
    f"correlation {RHO[0]}; {STEPS} steps of Adam down the loss of the package, {ROWS} new pairs "
    f"each; Eq. (7) with the critic on {HELD} other rows, after less before, over "
    f"{STARTS} starts.",
    threshold=f"the {INTERVAL.replace('seeds', 'starts')} of the change above 0",
    measure=measure,
    judge=judge,
    say=say,
)
