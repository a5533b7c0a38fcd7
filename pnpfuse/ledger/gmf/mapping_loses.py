"""What a map to n l features and back loses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.encodings import encoded, joined, left_of_labels
from pnpfuse.ledger.measures.mapped import up_and_down
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training

CONCAT = Training("concat")
FACTORS = (2, 3, 4, 8)
PROBED = 2
RECOVERED = 1e-8  # relative error of the features recovered from the mapped ones, float64


def trainings(bench: Bench) -> list[Training]:
    """What gives the features."""
    return [CONCAT]


def measure(bench: Bench) -> Found:
    """Rank and condition of the maps, the features recovered, and a probe on both sides."""
    ranks, conditions, errors, losses = [], [], [], []
    for seed in bench.seeds:
        found = encoded(bench, CONCAT, seed, complete=True)
        V = joined(found.features)  # (rows, l)
        for n in FACTORS:
            both = _product(V.shape[1], n, seed)  # (l, l)
            spread = torch.linalg.svdvals(both)
            ranks.append(int(torch.linalg.matrix_rank(both)) / V.shape[1])
            conditions.append(float(spread[0] / spread[-1]))
            back = torch.linalg.lstsq(both, both @ V.T).solution.T  # (rows, l)
            errors.append(float((back - V).norm() / V.norm()))
        mapped = V @ _product(V.shape[1], PROBED, seed).T
        losses.append([left_of_labels(bench, found.labels, X) for X in (V, mapped)])
    table = np.array(losses)  # (seeds, 2)
    return {
        "ranks": ranks,
        "conditions": conditions,
        "errors": errors,
        "entropies": table.mean(0),
        "loss": interval(table[:, 1] - table[:, 0]),
    }


def _product(width: int, n: float, seed: int) -> Tensor:
    """U1 U2, (l, l)."""
    up, down = up_and_down(width, n, seed)
    return down @ up


def judge(found: Found) -> Verdict:
    """Holds where something is lost for good; corrected where the features come back whole."""
    if min(found["ranks"]) == 1 and max(found["errors"]) < RECOVERED:
        return corrected(
            "less or equal instead of less: generic U1 U2 is invertible for every n above 1, and "
            "an invertible map loses nothing"
        )
    if found["loss"]["low"] > 0:
        return holds()
    return fails("the maps have not the full rank, yet the probe loses nothing beyond the spread")


def say(found: Found) -> str:
    """Rank, condition, recovery, and the probe."""
    before, after = found["entropies"]
    return (
        f"U1 U2 has full rank in {np.mean(np.array(found['ranks']) == 1):.0%} of the draws, "
        f"condition up to {max(found['conditions']):.1e}; the features come back to "
        f"{max(found['errors']):.0e}; a linear probe leaves {before:.3f} nats before and "
        f"{after:.3f} after, {said_interval(found['loss'], 3)} (its penalty is not the "
        "information's)"
    )


CLAIM = Claim(
    statement="Features that are mapped to n > 1 times their width and back tell strictly less of "
    "the labels: H(Y|f) < H(Y|U1 U2 f).",
    source="GMF Theorem 3.3, Eq. 7; App. D.1, Eq. 33",
    protocol="Encoded features of test rows; U1 and U2 drawn as new linear layers for n = "
    f"{FACTORS} and every seed; rank and condition of U1 U2, and the features recovered by least "
    "squares from U1 U2 f, in double precision. Beside it H(Y|.) from above by a cross-validated "
    f"linear probe, before and after, n = {PROBED}.",
    threshold=f"corrected if all maps have full rank and the features come back to {RECOVERED:g}, "
    f"since H(Y|.) is then the same; otherwise holds if the {INTERVAL} of the probe's loss lies "
    "above 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
