"""The printed shapes of GMF's matrices."""

from __future__ import annotations

import torch

from pnpfuse.fusion.pmr import GMF
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

DIMS, N, B = {"one": 12, "two": 8}, 4, 0.5


def measure(bench: Bench) -> Found:
    """The block's own shapes beside the printed ones, for one modality."""
    block, m = GMF(DIMS, n=N, b=B), "one"
    own = {name: list(weight.shape) for name, (weight, _) in block.maps_of(m).items()}
    length, common, b = DIMS[m], min(DIMS.values()), block.widths.boundary[m]
    printed = {
        "dissolve": [N * length, length],
        "shared": [b, common],
        "specific": [N * length - b, length],
        "recon": [length, length + common],
    }
    with torch.no_grad():
        out = block({name: torch.zeros(3, width) for name, width in DIMS.items()})
    widths = {name: part.shape[1] for name, part in out.fused.items()}
    return {"own": own, "printed": printed, "output": widths[m], "expected": length + common}


def judge(found: Found) -> Verdict:
    """Holds where the printed shapes can be multiplied, corrected where their transposes can."""
    own, printed = found["own"], found["printed"]
    other = [name for name in printed if own[name] != printed[name]]
    if found["output"] != found["expected"]:
        return fails(f"the output is {found['output']} wide, not {found['expected']}")
    if not other:
        return holds()
    if all(own[name] == printed[name][::-1] for name in other):
        return corrected(f"P_{' and P_'.join(other)} are printed transposed")
    return fails(f"the shapes of {', '.join(other)} are others, transposed or not")


def say(found: Found) -> str:
    """The shapes that differ."""
    own, printed = found["own"], found["printed"]
    said = ", ".join(
        f"P_{name} takes {own[name][0]} x {own[name][1]}, printed {row[0]} x {row[1]}"
        for name, row in printed.items()
        if own[name] != row
    )
    return f"Z is {found['output']} wide; {said or 'all shapes as printed'}"


CLAIM = Claim(
    statement="The four matrices of a modality have the sizes n l x l, b x l*, (n l - b) x l and "
    "l x (l + l*), and multiply as Eq. 16 to 18 say.",
    source="GMF Sec. 4, Eq. 15 to 18",
    protocol=f"A block for widths {tuple(DIMS.values())}, n = {N}, b = {B:g} n l: the sizes with "
    "which the products of Eq. 16 to 18 can be formed, outputs first, and the width of the output.",
    threshold="holds if the sizes are those printed, corrected if they are their transposes",
    measure=measure,
    judge=judge,
    say=say,
)
