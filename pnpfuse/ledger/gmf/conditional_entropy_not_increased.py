"""What GMF leaves of the labels, beside what enters it."""

from __future__ import annotations

import numpy as np

from pnpfuse.fusion.pmr import PMR
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.encodings import encoded, joined, left_of_labels
from pnpfuse.ledger.measures.mapped import lost_share
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

GMF = Training("gmf")
WHOLE = 1e-8  # of the variance, double precision


def trainings(bench: Bench) -> list[Training]:
    """GMF."""
    bench.need(2)
    return [GMF]


def measure(bench: Bench) -> Found:
    """What of V does not come back from Z, and H(Y|V) and H(Y|Z) by probes, seed by seed."""
    bench.need(2)
    before, after, lost = [], [], 0.0
    for seed in bench.seeds:
        own = encoded(bench, GMF, seed, complete=True)
        before.append(left_of_labels(bench, own.labels, joined(own.features)))
        after.append(left_of_labels(bench, own.labels, joined(own.fused)))
        block = bench.model(GMF, seed).block.double()
        assert isinstance(block, PMR)
        for m, v in own.features.items():
            maps = block.maps_of(m)
            rest = maps["dissolve"][0][block.widths.boundary[m] :]  # (n l - B, l)
            lost = max(lost, lost_share(v, (maps["specific"][0] @ rest).detach()))
    return {
        "before": before,
        "after": after,
        "lost": lost,
        "change": interval(np.array(after) - np.array(before)),
    }


def judge(found: Found) -> Verdict:
    """Holds where Z gives V back, or where a probe loses nothing beyond what a seed makes."""
    change, margin = found["change"], float(np.std(found["before"], ddof=1))
    if found["lost"] < WHOLE or change["high"] < margin:
        return holds()
    if change["low"] > 0:
        return fails("a part of the features is gone, and with it what it says of the labels")
    return fails("a part of the features is gone; too few seeds to say what it said of the labels")


def say(found: Found) -> str:
    """What is gone, and both entropies."""
    return (
        f"{found['lost']:.0e} of the features' variance does not come back; a linear probe leaves "
        f"{np.mean(found['before']):.3f} nats before GMF and {np.mean(found['after']):.3f} behind "
        f"it, {said_interval(found['change'], 3)}"
    )


CLAIM = Claim(
    statement="The fusion does not increase the entropy of the labels given the features.",
    source="GMF Theorem 3.1; Sec. 4",
    protocol="What the specific parts of trained GMF give back of the encoded features of test "
    "rows, by the best linear map, in closed form: where that is all, GMF's output determines the "
    "features, and the entropy given it cannot be higher. Beside it a cross-validated linear "
    "probe of the labels before and behind GMF.",
    threshold=f"holds if less than {WHOLE:g} of the variance does not come back, or the "
    f"{INTERVAL} of the probe's change lies below the standard deviation that it has before GMF "
    "over the seeds",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
