"""Whether the training moves the block along one gradient, that of the weighted sum."""

from __future__ import annotations

import torch

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.conflict import losses_of, model_at
from pnpfuse.ledger.training import Training
from pnpfuse.weighting import TASK, FixedWeights

MODELS = ("spmr", "rpmr", "misa")
ROWS = 128
LIMIT = 1e-10  # sums of some ten thousand terms in double precision


def measure(bench: Bench) -> Found:
    """How far the gradient of the training's sum is from the weighted sum of the gradients."""
    bench.need(2)
    return {
        "differences": {
            name: max(_difference(bench, Training(name), seed) for seed in bench.seeds)
            for name in MODELS
        }
    }


def judge(found: Found) -> Verdict:
    """Holds where the two agree for PMR."""
    off = {name: of for name, of in found["differences"].items() if not of <= LIMIT}
    ours = [name for name in off if name != "misa"]
    if ours:
        return fails(f"the gradient of {ours[0]} is off by {off[ours[0]]:.1e} of itself")
    others = "" if off else ", and of MISA's losses as well"
    return holds(f"as of any weighted sum{others}; it does not say that the terms agree")


def say(found: Found) -> str:
    """The differences."""
    said = ", ".join(f"{name} {of:.0e}" for name, of in found["differences"].items())
    return f"relative difference of the two at the block's parameters: {said}"


def _difference(bench: Bench, training: Training, seed: int) -> float:
    """|grad Phi - sum of lambda grad L| / |grad Phi| at the block's parameters, as initialised."""
    rows = drawn(bench.rows(training).train, ROWS, seed=0)
    model = model_at(bench, training, seed, "untrained").double()
    losses, _ = losses_of(model, rows)
    parameters = list(model.block.parameters())
    weights = {TASK: 1.0} | model.loss_weights
    weigh = FixedWeights(model.loss_weights)
    whole = _gradient(weigh(losses), parameters)
    parts = torch.stack([w * _gradient(losses[name], parameters) for name, w in weights.items()])
    return float((whole - parts.sum(0)).norm() / whole.norm())


def _gradient(loss: torch.Tensor, parameters: list[torch.nn.Parameter]) -> torch.Tensor:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([one.flatten() for one in found])


CLAIM = Claim(
    statement="The weighted sum of task and preservation loss is a scalar potential: on the block "
    "it gives a single descent direction, the weighted sum of the gradients of both.",
    source="PMR App. D, Definition 2",
    protocol=f"The gradient of what the training of {', '.join(MODELS)} minimises, at the block's "
    f"parameters as initialised, beside the sum of the losses' own gradients with their weights, "
    f"on {ROWS} training rows in double precision; the largest relative difference over seeds.",
    threshold=f"below {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
