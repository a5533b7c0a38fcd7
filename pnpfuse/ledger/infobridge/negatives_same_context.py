"""Where the negatives have to come from."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.critics import HELD, held_bounds, trained_critic
from pnpfuse.ledger.measures.paired import INTERVAL, interval

RHO, APART = (0.0, 0.0, 0.0), 3.0
ROWS, EPOCHS, QUICK_EPOCHS, SETS = 1500, 6, 3, 6
RATIO = 64
DRAWN = {"any": "none", "same": "label"}  # {from which context: the condition of the critic}


def measure(bench: Bench) -> Found:
    """What critics read whose negatives are of any context, and of the same."""
    epochs = QUICK_EPOCHS if bench.quick else EPOCHS
    found = {}
    for name, condition in DRAWN.items():
        critic = trained_critic(RHO, APART, ROWS, epochs, condition)
        found[name] = interval(held_bounds(critic, RHO, APART, SETS, RATIO, "bound"))
    return found


def judge(found: Found) -> Verdict:
    """Holds where negatives of any sample give nothing, which is what is there."""
    anyone, same = found["any"], found["same"]
    if not anyone["low"] > 0:
        return holds()
    said = f"from any sample {anyone['mean']:.2f} nats are read that T explains"
    if not same["low"] > 0:
        return corrected(f"negatives from samples of the same T: {said}")
    return fails(f"{said}, and {same['mean']:.2f} with negatives of the same T")


def say(found: Found) -> str:
    """Both readings."""
    return "; ".join(
        f"negatives of {name} context: {one['mean']:.2f} "
        f"({one['low']:.2f} to {one['high']:.2f}) of 0 nats"
        for name, one in found.items()
    )


CLAIM = Claim(
    statement="Pairs from two different samples follow p(z1 | T) p(z2 | T), as the negatives of a "
    "conditional bound have to.",
    source="InfoBridge Sec. 3, positive and negative pairs",
    protocol=f"Gaussian pairs in {len(RHO)} contexts whose means lie {APART:g} apart, nothing "
    "shared within a context; InfoBridge's critic with negatives of any sample and with negatives "
    f"of the same context, {ROWS} rows, {EPOCHS} epochs (quick {QUICK_EPOCHS}); the bound at "
    f"N0/N1 = {RATIO} on {SETS} fresh sets of {HELD}, against 0.",
    threshold=f"the {INTERVAL.replace('seeds', 'sets')} not above 0",
    measure=measure,
    judge=judge,
    say=say,
)
