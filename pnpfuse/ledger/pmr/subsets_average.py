"""The averages that Table 10 prints, recomputed from its own columns."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.printed_pmr import TABLE10
from pnpfuse.ledger.measures.wording import listed

PRINTED, ALL = 6, 7  # the columns of the average and of all three modalities
ROUNDING = 0.1  # of seven numbers printed to 0.1, and of their average printed so
EARLIER = ("MCTN", "MMIN")


def measure(bench: Bench) -> Found:
    """Means over six and over seven subsets beside the printed one."""
    return {
        method: {
            "printed": row[PRINTED],
            "six": np.mean(row[:PRINTED]),
            "seven": np.mean([*row[:PRINTED], row[ALL]]),
        }
        for method, row in TABLE10.items()
    }


def judge(found: Found) -> Verdict:
    """Holds where all are averages over seven subsets and the FFN is above; corrected where so."""
    other = [m for m, of in found.items() if abs(of["printed"] - of["seven"]) > ROUNDING]
    ffn = found["FFN"]["seven"]
    above = [method for method in EARLIER if found[method]["seven"] >= ffn]
    told = (
        f"the printed averages of {listed(other)} are not over all seven subsets, as the FFN's is"
        if other
        else "all are over seven subsets"
    )
    if above:
        of = listed(f"{method} ({found[method]['seven']:.1f})" for method in above)
        return fails(f"{told}; over seven the FFN has {ffn:.1f} and is not above {of}")
    return corrected(told) if other else holds()


def say(found: Found) -> str:
    """The FFN beside the methods it is held against."""
    said = [
        f"{m} {of['printed']} (six {of['six']:.2f}, seven {of['seven']:.2f})"
        for m in (*EARLIER, "GCNet", "FFN")
        for of in (found[m],)
    ]
    return f"average printed, and recomputed over six and seven subsets: {', '.join(said)}"


CLAIM = Claim(
    statement="With the paper's encoders and training the plain feed-forward block is already "
    "slightly better than MCTN and MMIN on the average over the subsets.",
    source="PMR App. I, Table 10: FFN, column Avg.",
    protocol="From the printed numbers alone: the mean of each method's accuracies over the six "
    "subsets with a modality missing, and over all seven, beside the printed average.",
    threshold=f"every printed average is that over seven subsets to within {ROUNDING:g}, and over "
    "seven subsets the feed-forward block is above both; corrected where only the latter is so",
    measure=measure,
    judge=judge,
    say=say,
)
