"""Whether there is information between different samples for the loss to suppress."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pnpfuse.fusion.preservation import unit
from pnpfuse.fusion.scope import TABLE6
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.measures.scope_states import WHOLE, fused, whole_rows
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import mutual_information

WITHOUT = Training("scope", TABLE6["w/o MID"])
ROWS, FEW = 800, 300
SHIFTS = (1, 2, 3)  # the rows are in random order


def trainings(bench: Bench) -> list[Training]:
    """SCOPE with and without the loss."""
    bench.need(2)
    return [WHOLE, WITHOUT]


def measure(bench: Bench) -> Found:
    """Information in nat between samples and within them, and squared cosines, by model."""
    bench.need(2)
    test = bench.views.test
    rows = whole_rows(test, FEW if bench.quick else ROWS)
    found: Found = {}
    for name, training in (("with", WHOLE), ("without", WITHOUT)):
        of = []
        for seed in bench.seeds:
            refined = fused(bench.model(training, seed), test, rows).refined
            one, other = list(refined.values())[:2]  # (N, d) each
            others = [_information(one, other.roll(shift, 0)) for shift in SHIFTS]
            cosine = (unit(one) * unit(other.roll(1, 0))).sum(1).square().mean()
            of.append([float(np.mean(others)), _information(one, other), float(cosine)])
        between, within, cosine = np.array(of).T
        found[name] = {
            "between": interval(between, 1 / len(rows) ** 0.5),
            "within": interval(within),
            "cosine": interval(cosine),
        }
    return found


def _information(x: Tensor, y: Tensor) -> float:
    return mutual_information(x, y, reduce="pca", components=1).value


def judge(found: Found) -> Verdict:
    """Holds where, without the loss, different samples share information beyond the spread."""
    if found["without"]["between"]["low"] > 0:
        return holds()
    return fails(
        "different samples, drawn independently, share none beyond the spread, also without the "
        "loss"
    )


def say(found: Found) -> str:
    """Information between and within samples."""
    its = found["without"]
    return (
        f"without the loss different samples share {said_interval(its['between'], 3)} nats, a "
        f"sample's modalities {its['within']['mean']:.2f}; with it "
        f"{said_interval(found['with']['between'], 3)}; squared cosine of different samples "
        f"{its['cosine']['mean']:.2f} without, {found['with']['cosine']['mean']:.2f} with"
    )


CLAIM = Claim(
    statement="Representations of different samples depend on each other across modalities, a "
    "mutual information that disentanglement has to suppress.",
    source="SCOPE Sec. 4.1, Eq. (3), App. A",
    protocol="Mutual information (nearest neighbours, leading principal component of each) between "
    "the refined features of one modality and those of another of the next samples in a random "
    f"order, at most {ROWS} test rows, {len(SHIFTS)} shifts, in SCOPE trained without the loss and "
    "with it; beside it the same of matched samples, and the squared cosine that stands for it in "
    "the loss.",
    threshold=f"the {INTERVAL} of the information between different samples, trained without the "
    "loss, no narrower than 1 over the root of the rows to either side, lies above 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
