"""Whether the mask restricts attention to neighbours."""

from __future__ import annotations

import torch

from pnpfuse.fusion.diffusion import MASKS, with_self_loops
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.batch_attention import SAID, Batch, batch

LIMIT = 1e-9  # of sums over a batch in double precision


def measure(bench: Bench) -> Found:
    """Attention that falls on rows that are no neighbours, by mask."""
    batches = [batch(bench, seed) for seed in bench.seeds]
    apart = [_apart(one) for one in batches]
    if not apart[0].any():
        raise CannotTry("so few test rows are all neighbours")
    found: Found = {"pairs": float(apart[0].double().mean())}
    for mask in MASKS:
        dense = [one.attention(mask).dense() for one in batches]
        found[mask] = [float((A * no).sum(1).mean()) for A, no in zip(dense, apart, strict=True)]
    return found


def _apart(one: Batch) -> torch.Tensor:
    """Which pairs are no edge, bool (N, N)."""
    count = len(one.x)
    reach = torch.zeros(count, count, dtype=torch.bool)
    reach[tuple(with_self_loops(one.edges, count))] = True
    return ~reach


def judge(found: Found) -> Verdict:
    """Holds if the printed mask leaves nothing outside; with a correction if the other one does."""
    if max(found["printed"]) <= LIMIT:
        return holds()
    if max(found["neighbours"]) <= LIMIT:
        return corrected("mask with minus infinity, before one softmax")
    return fails("attention falls on rows that are no neighbours under either mask")


def say(found: Found) -> str:
    """The shares."""
    printed, other = (max(found[mask]) for mask in ("printed", "neighbours"))
    return (
        f"as printed {printed:.1%} of the attention falls on rows that are no neighbours, which "
        f"are {found['pairs']:.1%} of all pairs; masked with minus infinity {other:.1g}"
    )


CLAIM = Claim(
    statement="The mask restricts attention to the neighbours in the semantic graph.",
    source="SCOPE Sec. 4.3, structure-aware masked attention",
    protocol=f"softmax(M * softmax(Q K^T / sqrt(d))) as printed, and one softmax with minus "
    f"infinity where M is 0; {SAID}. The share of a row's attention outside its "
    "edges, mean over the rows.",
    threshold=f"at most {LIMIT:g} of the attention outside the edges for every draw",
    measure=measure,
    judge=judge,
    say=say,
)
