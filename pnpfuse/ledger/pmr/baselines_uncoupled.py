"""Whether the auxiliary losses of a disentanglement baseline leave its fusion block alone."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.conflict import BLOCK, course
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

PMR, MISA = Training("rpmr"), Training("misa")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [PMR, MISA]


def measure(bench: Bench) -> Found:
    """Share that the other losses have of the two gradients' norms at the block's parameters."""
    bench.need(2)
    ratios = [
        np.array(course(bench, training, ("trained",))["trained"][BLOCK]["ratio"])
        for training in (PMR, MISA)
    ]
    pmr, misa = (ratio / (1 + ratio) for ratio in ratios)
    return {"pmr": pmr, "misa": misa, "difference": interval(misa - pmr)}


def judge(found: Found) -> Verdict:
    """Holds where MISA's losses move its block less than PMR's move theirs."""
    if found["difference"]["high"] < 0:
        return holds()
    return fails(
        f"of the gradients at MISA's fusion block its auxiliary losses make "
        f"{np.mean(found['misa']):.0%}, in PMR the preservation loss {np.mean(found['pmr']):.0%}: "
        "both reach the block, and MISA's sum is as much a scalar potential on it"
    )


def say(found: Found) -> str:
    """Both shares."""
    return (
        f"share of the other losses: PMR {np.mean(found['pmr']):.3f}, MISA "
        f"{np.mean(found['misa']):.3f}: {said_interval(found['difference'], 3)}"
    )


CLAIM = Claim(
    statement="In disentanglement methods, unlike in PMR, the auxiliary losses have next to no "
    "gradient on the fusion block, so that no scalar potential holds there.",
    source="PMR App. D, after Definition 2",
    protocol="Norms of the gradients of the task and of the other losses, weighted as in training, "
    "at the parameters of the blocks of rPMR and MISA (its projections, encoders of parts and "
    "decoders) after training, on training rows; the share of the other losses, seed by seed. The "
    "paper names no method; MISA is the baseline that is there.",
    threshold=f"the {INTERVAL} of the paired difference MISA - PMR lies below 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
