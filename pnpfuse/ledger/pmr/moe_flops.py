"""Operations of the mixture of experts: printed, for the experts in use, and as run."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from pnpfuse.fusion.experts import EXPERTS, MixtureOfExperts
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

WIDTHS = (3, 16, 48)
USED = 2  # the shared expert and the best of the routed ones


def measure(bench: Bench) -> Found:
    """Operations of one sample, l* by l*."""
    rows = [_counted(MixtureOfExperts(width).eval()) for width in WIDTHS]
    return {
        "widths": list(WIDTHS),
        "printed": [16 * width**2 + 10 * width for width in WIDTHS],
        # two experts of a gate, a way up and a way down with hidden width 8/3 l*
        "beside its parameters": [USED * 3 * 2 * 8 * width**2 // 3 for width in WIDTHS],
        "used": [used for used, _ in rows],
        "run": [run for _, run in rows],
    }


def judge(found: Found) -> Verdict:
    """Holds where both readings agree; with a correction where that of App. A does."""
    if found["printed"] == found["used"] == found["beside its parameters"]:
        return holds()
    if found["printed"] == found["used"]:
        return corrected(
            "exact for the two experts that a sample uses, with two matrices of hidden width 2 l* "
            "as App. A says; the width of 8/3 l* beside it "
            "would take twice the products"
        )
    return fails("the experts that a sample uses take another number of operations")


def say(found: Found) -> str:
    """All counts."""
    return "; ".join(
        f"l* = {width}: printed {printed:,}, two experts {used:,}, with 8/3 l* {beside:,}, run by "
        f"the module (all five, with the router) {run:,}"
        for width, printed, used, beside, run in zip(
            *(found[k] for k in ("widths", "printed", "used", "beside its parameters", "run")),
            strict=True,
        )
    )


def _counted(module: MixtureOfExperts) -> tuple[int, int]:
    """Operations of the experts that one sample uses, and all the products that are run."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, module.width))
    weights = module.up.weight.numel() + module.down.numel()
    biases = module.up.bias.numel() + module.down_bias.numel()
    activations = EXPERTS * module.hidden
    return (2 * weights + biases + activations) * USED // EXPERTS, counter.get_total_flops()


CLAIM = Claim(
    statement="The mixture of experts on the shared part adds about 16 l*^2 + 10 l* operations a "
    "sample.",
    source="PMR App. E.4; App. A",
    protocol="Products, biases and activations of the shared and one routed expert of the "
    f"package's mixture, for l* of {WIDTHS}; beside it what experts of three matrices with the "
    "printed hidden width of 8/3 l* would take, and the products that torch counts in a pass.",
    threshold="equal as whole numbers",
    measure=measure,
    judge=judge,
    say=say,
)
