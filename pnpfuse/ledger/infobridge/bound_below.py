"""A trained critic's bound, on rows that it has not seen."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.critics import HELD, held_bounds, trained_critic
from pnpfuse.ledger.measures.gaussian_pairs import information
from pnpfuse.ledger.measures.paired import INTERVAL, interval

RHO, APART = (0.5, 0.8, 0.95), 3.0
ROWS, EPOCHS, QUICK_EPOCHS, SETS = 2000, 10, 3, 6
RATIO = 64
FORMS = ("bound", "printed_bound")


def measure(bench: Bench) -> Found:
    """The bounds of one trained critic on fresh sets of rows."""
    critic = trained_critic(RHO, APART, ROWS, QUICK_EPOCHS if bench.quick else EPOCHS)
    found = {f: interval(held_bounds(critic, RHO, APART, SETS, RATIO, f)) for f in FORMS}
    return {"information": information(RHO), **found}


def judge(found: Found) -> Verdict:
    """Holds where the printed form is a bound that says something."""
    truth, derived, printed = found["information"], found["bound"], found["printed_bound"]
    if derived["low"] > truth:
        return fails(f"{derived['mean']:.2f} nats are read where there are {truth:.2f}")
    if 0 < printed["low"] <= truth:
        return holds()
    if derived["low"] > 0:
        return corrected(
            f"with the margin log(N0/N1): the printed one makes it {printed['mean']:.2f} nats"
        )
    return fails(f"nothing is found where there are {truth:.2f} nats")


def say(found: Found) -> str:
    """Truth and both forms."""
    derived = found["bound"]
    return (
        f"{derived['mean']:.2f} ({derived['low']:.2f} to {derived['high']:.2f}) of "
        f"{found['information']:.2f} nats; as printed {found['printed_bound']['mean']:.2f}"
    )


CLAIM = Claim(
    statement="A critic trained by the contrastive objective bounds the conditional information "
    "of two modalities from below.",
    source="InfoBridge Sec. 3, Eqs. (5) to (8)",
    protocol=f"Gaussian pairs in {len(RHO)} contexts, correlated by {RHO} within them and with "
    f"means {APART:g} apart; InfoBridge's critic is trained on {ROWS} rows for {EPOCHS} epochs "
    f"(quick {QUICK_EPOCHS}) and asked with N0/N1 = {RATIO} on {SETS} fresh sets of {HELD}; the "
    "margin as derived and as printed.",
    threshold=f"the {INTERVAL.replace('seeds', 'sets')} not above the information, and above 0, "
    "for the printed margin; corrected where that takes the derived one",
    measure=measure,
    judge=judge,
    say=say,
)
