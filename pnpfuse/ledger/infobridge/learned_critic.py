"""A critic that is not the right one, in the bound's place of the posterior."""

from __future__ import annotations

import math

import torch

from pnpfuse.fusion.infobridge.bound import evidence, nce_bounds
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import draw_pairs, information, log_ratio
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse_analysis import nce_bound

RHO, RATIO = 0.8, 64
ROWS, SETS = 300, 6
# What the critic makes of the right log-ratio: factor and shift.
CRITICS = {"right": (1.0, 0.0), "shifted": (1.0, 2.0), "too steep": (5.0, 0.0), "sure": (1.0, 50.0)}


def measure(bench: Bench) -> Found:
    """Eq. (5) with each critic, as it stands and less what its negatives betray."""
    plain: dict[str, list[float]] = {name: [] for name in CRITICS}
    guarded: dict[str, list[float]] = {name: [] for name in CRITICS}
    same, both = torch.ones(ROWS, ROWS).bool(), torch.ones(1, ROWS).bool()
    for seed in range(SETS):
        V, _ = draw_pairs([RHO], ROWS, seed)
        right = log_ratio(V["x"].double(), V["y"].double().T, RHO)  # (rows, rows)
        for name, (factor, shift) in CRITICS.items():
            ratios = factor * right + shift
            logits = ratios - math.log(RATIO)
            plain[name].append(float(nce_bound(logits.diagonal(), logits, n0=RATIO)))
            found = evidence(ratios[None], same, both, slice(None), RATIO)
            guarded[name].append(float(nce_bounds(found, RATIO)["bound"]))
    return {
        "information": information([RHO]),
        "plain": {name: interval(values) for name, values in plain.items()},
        "guarded": {name: interval(values) for name, values in guarded.items()},
    }


def judge(found: Found) -> Verdict:
    """Holds where no critic gives more than there is."""
    truth = found["information"]
    plain = [name for name, one in found["plain"].items() if one["low"] > truth]
    guarded = [name for name, one in found["guarded"].items() if one["low"] > truth]
    if not plain:
        return holds()
    said = f"a critic that is {' or '.join(plain)} reads more than there is"
    if not guarded:
        return corrected(f"less max(0, log(N0/N1 E_neg h)), else {said}")
    return fails(said)


def say(found: Found) -> str:
    """Each critic's value, without and with the guard."""
    each = [
        f"{name} {found['plain'][name]['mean']:.2f} ({found['guarded'][name]['mean']:.2f})"
        for name in found["plain"]
    ]
    return f"of {found['information']:.2f} nats, critic as it stands (guarded): {', '.join(each)}"


CLAIM = Claim(
    statement="A learned critic may stand in the bound in place of the intractable posterior.",
    source="InfoBridge Sec. 3, Eqs. (6) to (8)",
    protocol=f"Gaussian pairs of correlation {RHO}; critics made from the right log-ratio by a "
    f"factor and a shift, log(N0/N1) + E log h with each at N0/N1 = {RATIO}, {SETS} sets of "
    f"{ROWS} rows; the same less max(0, log(N0/N1 E_neg h)), 0 for the right critic.",
    threshold=f"no critic's {INTERVAL.replace('seeds', 'sets')} above the information",
    measure=measure,
    judge=judge,
    say=say,
)
