"""Which way the objective is to go."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.gaussian_pairs import draw_pairs
from pnpfuse.ledger.paired import INTERVAL, interval

RHO, ROWS, STEPS, RATE = (0.9, 0.9), 128, 25, 2e-2
SEEDS, HELD = 3, 1000  # and from where the fresh rows are counted
RATIO = 64


def measure(bench: Bench) -> Found:
    """The bound on fresh rows after steps with either sign, and before any."""
    signs = {"subtracted": 1.0, "added": -1.0}
    return {
        name: interval([_gain(sign, seed) for seed in range(SEEDS)]) for name, sign in signs.items()
    }


def _gain(sign: float, seed: int) -> float:
    """What training by task + sign * (-L_NCE) adds to the bound, nats; the task left out."""
    V, T = draw_pairs(RHO, ROWS, seed)
    fresh, contexts = draw_pairs(RHO, ROWS, HELD + seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = nn.ModuleDict({m: nn.Linear(1, 4) for m in V})
        bridge = InfoBridge(dict.fromkeys(V, 4), dict.fromkeys(V, 1), len(RHO))
        descent = torch.optim.Adam([*encoders.parameters(), *bridge.parameters()], lr=RATE)
        before = _bound(bridge, encoders, fresh, contexts)
        for _ in range(STEPS):
            descent.zero_grad()
            z = {m: encoders[m](v) for m, v in V.items()}
            (sign * bridge(z, None, T, V)["nce"]).backward()
            descent.step()
        return _bound(bridge, encoders, fresh, contexts) - before


@torch.no_grad()
def _bound(bridge: InfoBridge, encoders: nn.ModuleDict, V: dict[str, Tensor], T: Tensor) -> float:
    z = {m: encoders[m](v) for m, v in V.items()}
    return float(bridge.bound(z, None, T, V, negatives=RATIO)["bound"])


def judge(found: Found) -> Verdict:
    """Holds where subtracting the objective raises the bound."""
    if found["subtracted"]["low"] > 0:
        return holds()
    if found["added"]["low"] > 0:
        return fails("it has to be added: subtracted it lowers the bound")
    return fails("subtracting it does not raise the bound")


def say(found: Found) -> str:
    """What either sign does."""
    each = [
        f"{name} {one['mean']:+.2f} ({one['low']:.2f} to {one['high']:.2f})"
        for name, one in found.items()
    ]
    return f"bound on fresh rows, change in nats: the objective {', '.join(each)}"


CLAIM = Claim(
    statement="Minimising the task's loss minus alpha times the objective raises the bound on what "
    "the encoded modalities share, although the objective goes by the name of a loss.",
    source="InfoBridge Sec. 3, Eqs. (1), (9) and (10)",
    protocol=f"Linear encoders and InfoBridge's critic on {ROWS} Gaussian pairs in {len(RHO)} "
    f"contexts of correlation {RHO[0]}; {STEPS} steps of Adam with the "
    "objective subtracted, as the loss of the package has it, and with it added; the bound at "
    f"N0/N1 = {RATIO} on as many fresh rows, after less before, over {SEEDS} starts.",
    threshold=f"the {INTERVAL.replace('seeds', 'starts')} of the change above 0",
    measure=measure,
    judge=judge,
    say=say,
)
