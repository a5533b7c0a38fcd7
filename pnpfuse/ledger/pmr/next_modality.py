"""Whose shared part a modality gets, by the printed index and by the block."""

from __future__ import annotations

import numpy as np
import torch

from pnpfuse.fusion import PMR
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

COUNTS = (2, 3, 4, 5)
WIDTH = 4


def measure(bench: Bench) -> Found:
    """{M: sources by the printed index, sources of the block as its outputs show them}."""
    return {
        "modalities": list(COUNTS),
        "printed": [[(m + 1) % M for m in range(1, M + 1)] for M in COUNTS],
        "block": [_sources(M) for M in COUNTS],
    }


def judge(found: Found) -> Verdict:
    """Holds where the printed index is a cycle of the modalities 1 to M."""
    if all(_is_cycle(k, 1) for k in found["printed"]):
        return holds()
    if all(_is_cycle(k, 0) for k in found["block"]):
        return corrected(
            "counted from 0: with m from 1 to M the index gives 0, which is no modality, to m = "
            "M - 1, and M to none"
        )
    return fails("the block's sources are no cycle either")


def say(found: Found) -> str:
    """Both, for each number of modalities."""
    rows = zip(found["modalities"], found["printed"], found["block"], strict=True)
    return "; ".join(f"M = {M}: printed {p}, block {b}" for M, p, b in rows)


@torch.no_grad()
def _sources(count: int) -> list[int]:
    """Index of the modality whose features move each one's received shared part."""
    block = PMR({f"m{i}": WIDTH for i in range(count)}).eval()
    zero = {m: torch.zeros(1, WIDTH) for m in block.dims}
    still = block(zero).shared
    moved = np.zeros((count, count))
    for k, source in enumerate(block.dims):
        shared = block(zero | {source: torch.ones(1, WIDTH)}).shared
        for i, m in enumerate(block.dims):
            moved[i, k] = float((shared[m] - still[m]).abs().max())
    return np.argmax(moved, axis=1).tolist()


def _is_cycle(sources: list[int], first: int) -> bool:
    """Whether following the sources leads through all modalities, numbered from `first`."""
    seen, at = [], first
    while at not in seen and first <= at < first + len(sources):
        seen.append(at)
        at = sources[at - first]
    return at == first and len(seen) == len(sources)


CLAIM = Claim(
    statement="With modalities m = 1 to M, the one after m, whose shared part m gets, is "
    "k = (m + 1) mod M.",
    source="PMR Sec. 3 and 4, Eq. 5",
    protocol=f"The index for M of {COUNTS}, and which modality's features move the shared part "
    "that each one receives in the block.",
    threshold="a cycle through all modalities",
    measure=measure,
    judge=judge,
    say=say,
)
