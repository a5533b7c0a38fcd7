"""The conflict between PMR's losses beside that of a disentanglement baseline."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.conflict import ENCODERS, MEASURED, course
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

PMR, MISA = Training("rpmr"), Training("misa")
STAGES = ("early", "trained")


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [PMR, MISA]


def measure(bench: Bench) -> Found:
    """Cosines of both at both stages, and their difference seed by seed."""
    bench.need(2)
    both = [course(bench, training, STAGES) for training in (PMR, MISA)]
    cosines = [[one[stage][ENCODERS]["cosine"] for stage in STAGES] for one in both]
    if not np.isfinite(cosines).all():
        raise CannotTry("on these data a loss gives the encoders no gradient, so there is no angle")
    ratios = [[one[stage][ENCODERS]["ratio"] for stage in STAGES] for one in both]
    return {
        "cosines": cosines,  # (model, stage, seed)
        "ratios": np.mean(ratios, axis=2),
        "difference": interval(np.mean(cosines[0], axis=0) - np.mean(cosines[1], axis=0)),
    }


def judge(found: Found) -> Verdict:
    """Holds where PMR's cosine is the higher beyond the spread."""
    difference = found["difference"]
    if difference["low"] > 0:
        return holds()
    if difference["high"] < 0:
        return fails("the losses of PMR oppose each other more than those of MISA")
    return fails("no difference beyond the spread over seeds")


def say(found: Found) -> str:
    """Both cosines, and how loud the other losses are."""
    said = []
    for name, cosines, ratios in zip(
        ("PMR", "MISA"), found["cosines"], found["ratios"], strict=True
    ):
        each = zip(STAGES, cosines, ratios, strict=True)
        said.append(
            f"{name} "
            + ", ".join(
                f"{stage} {np.mean(of):+.3f} (other losses' norm {ratio:.3g} times the task's)"
                for stage, of, ratio in each
            )
        )
    return f"cosine {'; '.join(said)}; difference {said_interval(found['difference'], 3)}"


CLAIM = Claim(
    statement="PMR, whose losses form one objective, has less conflict between its gradients than "
    "disentanglement baselines such as MISA.",
    source="PMR Sec. 5.5, Fig. 4",
    protocol=f"{MEASURED}, at the encoders' outputs of rPMR and of MISA with its losses "
    "(similarity, difference, reconstruction), after a fifth of the epochs and after all; mean of "
    "both, and the difference seed by seed. DrFuse and MAP-IVR are not there to be tried.",
    threshold=f"the {INTERVAL} of the paired difference PMR - MISA lies above 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
