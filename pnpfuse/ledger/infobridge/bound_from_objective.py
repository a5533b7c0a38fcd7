"""The objective itself as a bound."""

from __future__ import annotations

import math

import torch

from pnpfuse.fusion.infobridge.contrast import contrast_drawn
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import information, right_logits
from pnpfuse.ledger.measures.paired import INTERVAL, interval

RHO, RATIOS = 0.9, (0.25, 5.0, 64.0, 1024.0)
ROWS, SETS = 10_000, 8


def measure(bench: Bench) -> Found:
    """L_NCE of the right critic with either margin, of fresh sets of pairs."""
    printed, derived = [], []
    for ratio in RATIOS:
        objective = torch.tensor([_objective(ratio, seed) for seed in range(SETS)])
        printed.append(interval(objective - math.log(ratio)))
        derived.append(interval(objective + math.log(ratio)))
    return {
        "information": information([RHO]),
        "ratios": list(RATIOS),
        "printed": printed,
        "derived": derived,
    }


def _objective(ratio: float, seed: int) -> float:
    true, drawn = right_logits(RHO, ratio, ROWS, seed)
    return -float(contrast_drawn(true[None], drawn[None, :, None], ratio).mean())


def judge(found: Found) -> Verdict:
    """A form is a bound where it lies above the information nowhere."""
    truth = found["information"]
    above = {
        form: [r for r, one in zip(found["ratios"], found[form], strict=True) if one["low"] > truth]
        for form in ("printed", "derived")
    }
    if not above["printed"]:
        return holds()
    where = ", ".join(f"{r:g}" for r in above["printed"])
    if above["derived"]:
        return fails(f"above the information at N0/N1 = {where}, and with the other margin, too")
    lacking = truth - found["derived"][-1]["mean"]
    return corrected(
        f"with log(N0/N1): as printed it lies above the information at N0/N1 = {where}; even then "
        f"{lacking:.2f} nats are lost with the most negatives, by the second term of the objective"
    )


def say(found: Found) -> str:
    """Both forms at each ratio beside the truth."""
    each = [
        f"{r:g}: printed {p['mean']:.3f}, derived {d['mean']:.3f}"
        for r, p, d in zip(found["ratios"], found["printed"], found["derived"], strict=True)
    ]
    return f"truth {found['information']:.3f} nats; at N0/N1 = {'; '.join(each)}"


CLAIM = Claim(
    statement="The conditional information is at least log(N1/N0) plus the maximum of the "
    "contrastive objective, so that maximising the objective raises a bound of it.",
    source="InfoBridge Sec. 3, Eq. (8)",
    protocol=f"Gaussian pairs of correlation {RHO}, the critic that is right for them, and the "
    f"loss of InfoBridge for the objective; with the printed margin and with log(N0/N1), at "
    f"N0/N1 of {RATIOS}, {SETS} sets of {ROWS} pairs.",
    threshold=f"a form is no bound where its {INTERVAL.replace('seeds', 'sets')} lies above the "
    "information",
    measure=measure,
    judge=judge,
    say=say,
)
