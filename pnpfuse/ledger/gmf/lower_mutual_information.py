"""What the modalities' specific parts still have in common."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from torch import Tensor

from pnpfuse.fusion.pmr import PMR
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.encodings import encoded
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import mutual_information

GMF = Training("gmf")
RESOLVED = 1e-6  # nats; the same information but for rounding
ROWS_A_COLUMN = 2


def trainings(bench: Bench) -> list[Training]:
    """GMF."""
    bench.need(2)
    return [GMF]


def measure(bench: Bench) -> Found:
    """Information between modalities before GMF and between their specific parts, by seed."""
    bench.need(2)
    before, after = [], []
    for seed in bench.seeds:
        own = encoded(bench, GMF, seed, "train", complete=True)
        V = own.features
        widest = max(sum(V[m].shape[1] for m in pair) for pair in combinations(V, 2))
        if len(own.labels) < ROWS_A_COLUMN * widest:
            raise CannotTry(
                f"needs {ROWS_A_COLUMN * widest} training rows for features {widest} wide "
                f"together; there are {len(own.labels)}"
            )
        block = bench.model(GMF, seed).block.double()
        assert isinstance(block, PMR)
        specific = block.dissociate(V)[1]
        before.append(_between(V))
        after.append(_between({m: part.detach() for m, part in specific.items()}))
    if not np.isfinite([before, after]).all():
        raise CannotTry("the information between modalities is not finite: rows or columns repeat")
    fall = interval(np.array(after) - np.array(before), RESOLVED)
    return {"before": before, "after": after, "change": fall}


def _between(parts: dict[str, Tensor]) -> float:
    """Mean information over the pairs of modalities, nats."""
    found = [mutual_information(parts[a], parts[b], method="gaussian") for a, b in
             combinations(parts, 2)]  # fmt: skip
    return float(np.mean([float(one) for one in found]))


def judge(found: Found) -> Verdict:
    """Holds where the specific parts have less in common than the features had."""
    change = found["change"]
    if change["high"] < 0:
        return holds()
    if abs(change["mean"]) <= RESOLVED:
        return fails(
            "the specific part is an invertible map of its modality, so that the modalities have "
            "as much in common as before"
        )
    return fails("what the modalities have in common does not fall beyond the spread over seeds")


def say(found: Found) -> str:
    """Both, and the change."""
    return (
        f"{np.mean(found['before']):.3f} nats between the modalities before, "
        f"{np.mean(found['after']):.3f} between their specific parts: "
        f"{found['change']['mean']:+.1e}"
    )


CLAIM = Claim(
    statement="Dissociated into an invariant and a specific part, the modalities have less mutual "
    "information: their specific parts share less than the features did.",
    source="GMF Abstract; App. G.3",
    protocol="Encoded features of training rows, of which there are most, and the specific parts "
    "that a trained GMF makes of them; mutual information of each pair of modalities from all "
    "canonical correlations, the same whatever the scale and basis, the mean over the pairs.",
    threshold=f"holds if the {INTERVAL} of the change lies below 0, changes within {RESOLVED:g} "
    "nats being rounding",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
