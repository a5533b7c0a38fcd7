"""How GMF grows with the number of modalities."""

from __future__ import annotations

import numpy as np

from pnpfuse.fusion.pmr import GMF
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

COUNTS, WIDTH, MATRICES = (2, 3, 4, 6, 8), 16, 4


def measure(bench: Bench) -> Found:
    """Parameters, and matrices a modality, over the number of modalities."""
    parameters, matrices = [], []
    for count in COUNTS:
        block = GMF({f"m{i}": WIDTH for i in range(count)})
        parameters.append(sum(p.numel() for p in block.parameters()))
        matrices.append([len(block.maps_of(m)) for m in block.dims])
    return {"counts": COUNTS, "parameters": parameters, "matrices": matrices}


def judge(found: Found) -> Verdict:
    """Holds where each modality adds the same, and has four matrices."""
    each = np.array(found["parameters"]) / np.array(found["counts"])
    if len(set(each.tolist())) > 1:
        return fails("a modality more costs more than the one before")
    if any(count != MATRICES for row in found["matrices"] for count in row):
        return fails(f"a modality has other than {MATRICES} matrices")
    return holds()


def say(found: Found) -> str:
    """The parameters, from the fewest to the most modalities."""
    counts, parameters = found["counts"], found["parameters"]
    return (
        f"{parameters[0]} parameters with {counts[0]} modalities of width {WIDTH}, "
        f"{parameters[-1]} with {counts[-1]}; {found['matrices'][0][0]} matrices each"
    )


CLAIM = Claim(
    statement="GMF has four learnable matrices for each modality and no term for pairs: it grows "
    "in proportion to the number of modalities.",
    source="GMF Sec. 4; the column Complexity of Table 1",
    protocol=f"The parameters of blocks for {COUNTS} modalities of width {WIDTH}, and the "
    "matrices of each modality.",
    threshold=f"holds if the parameters are exactly in proportion and the matrices are {MATRICES}",
    measure=measure,
    judge=judge,
    say=say,
)
