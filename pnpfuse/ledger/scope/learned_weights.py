"""Loss weights that a network makes of the losses, trained with the model."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.scope_states import WHOLE, inputs, some
from pnpfuse.ledger.training import Training
from pnpfuse.weighting import TASK, PrintedWeights

STEPS, FEW = 600, 300
RATE = 1e-3  # the default of `fit`
ROWS = 128
# The sum has no minimum but the corner of the smallest loss, and no rest on the way to it.
LEAST = 0.5


def trainings(bench: Bench) -> list[Training]:
    """SCOPE."""
    bench.need(2)
    return [WHOLE]


def measure(bench: Bench) -> Found:
    """The prediction's weight before and after, (seeds, 2), with and without that gradient."""
    bench.need(2)
    steps = FEW if bench.quick else STEPS
    losses = [_losses(bench, seed) for seed in bench.seeds]
    found: Found = {
        "losses": losses,
        "steps": steps,
        "smallest": [min(one, key=one.__getitem__) for one in losses],
    }
    for trained in (True, False):
        found["trained" if trained else "detached"] = [
            _weights(*one, trained, steps) for one in zip(losses, bench.seeds, strict=True)
        ]
    return found


def _losses(bench: Bench, seed: int) -> dict[str, float]:
    """The three losses of a trained model on training rows."""
    train = bench.views.train
    rows = some(train, ROWS)
    labels = torch.from_numpy(train.labels[rows])
    model = bench.model(WHOLE, seed).cpu().double()
    with torch.inference_mode():
        out = model(*inputs(train, rows), labels)
    task = {TASK: float(cross_entropy(out.logits, labels))}
    return task | {name: float(value) for name, value in out.losses.items()}


def _weights(losses: dict[str, float], seed: int, trained: bool, steps: int) -> list[float]:
    """The prediction's weight before and after so many steps at these losses."""
    weigh = PrintedWeights(list(losses), seed, trained)
    still = {name: torch.tensor(value, dtype=torch.float32) for name, value in losses.items()}
    before = weigh.weights(losses)[TASK]
    learned = [weight for weight in weigh.parameters() if weight.requires_grad]
    if learned:
        descent = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.0)
        for _ in range(steps):
            descent.zero_grad()
            weigh(still).backward()
            descent.step()
    return [before, weigh.weights(losses)[TASK]]


def judge(found: Found) -> Verdict:
    """Holds where the prediction keeps its weight; with a correction if it does detached."""
    kept = {
        name: all(after > LEAST * before for before, after in found[name])
        for name in ("trained", "detached")
    }
    if kept["trained"]:
        return holds()
    if kept["detached"]:
        return corrected(
            "no gradient of the sum may enter the network: trained by what it weighs it moves "
            "the weight to the smallest loss"
        )
    return fails("the prediction's weight falls, also if no gradient enters the network")


def say(found: Found) -> str:
    """Weights before and after."""
    before, after = np.mean(found["trained"], 0)
    smallest = sorted(set(found["smallest"]))
    return (
        f"in {found['steps']} steps the prediction's weight goes from {before:.2f} to {after:.3f}, "
        f"the smallest loss being {' or '.join(smallest)}; without a gradient it stays at "
        f"{np.mean(found['detached'], 0)[1]:.2f}"
    )


CLAIM = Claim(
    statement="The weights of the three losses come from a network that sees their values, and a "
    "softmax keeps them above 0, so that every loss has its part in training.",
    source="SCOPE Sec. 4.4",
    protocol=f"The three losses of a trained SCOPE on {ROWS} training rows, held still; the "
    f"network takes {STEPS} steps (quick {FEW}) of AdamW at {RATE:g} on the sum that it weighs; "
    "and the same without a gradient into the network.",
    threshold=f"the prediction's weight stays above {LEAST:g} of what it was for every seed",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
