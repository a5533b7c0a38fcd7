"""From which n b on the shared path has all its degrees of freedom."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.paths import WIDTHS, traced

NB = (
    (0.5, 0.5),
    (1.0, 0.4),
    (1.0, 0.6),
    (1.0, 0.9),
    (2.0, 0.3),
    (2.0, 0.5),
    (4.0, 0.25),
    (4.0, 0.5),
)


def measure(bench: Bench) -> Found:
    """Rank of each modality's shared part over (n, b)."""
    rows = []
    for n, b in NB:
        for m, one in traced(n, b, seed=0).items():
            rows.append([n * b, WIDTHS[m], one.segments[0], one.shared])
    return {"rows": rows, "common": min(WIDTHS.values())}


def judge(found: Found) -> Verdict:
    """Holds where the rank is full from n b = 1 on and short of it below, for all modalities."""
    rows, common = found["rows"], found["common"]
    if any(rank < common for nb, *_, rank in rows if nb >= 1):
        return fails("a shared part lacks rank although n b is at least 1")
    early = [row for row in rows if row[0] < 1 and row[3] == common]
    if not early:
        return holds()
    if all(rank == min(segment, common) for _, _, segment, rank in rows):
        return corrected(
            "the shared part of modality k has full rank from floor(b n l_k) = l* on: n b = 1 for "
            "the narrowest modality, and l*/l_k, less, for a wider one"
        )
    return fails("the rank follows neither n b nor floor(b n l_k)")


def say(found: Found) -> str:
    """How many shared parts have full rank on either side."""
    rows, common = found["rows"], found["common"]
    said = []
    for side, chosen in (
        ("below 1", [row for row in rows if row[0] < 1]),
        ("from 1 on", [row for row in rows if row[0] >= 1]),
    ):
        full = sum(rank == common for *_, rank in chosen)
        as_cut = sum(rank == min(segment, common) for _, _, segment, rank in chosen)
        said.append(
            f"n b {side}: {full} of {len(chosen)} shared parts have full rank, {as_cut} have "
            "min(floor(b n l), l*)"
        )
    return "; ".join(said)


CLAIM = Claim(
    statement="For n b < 1 the dissociation channel has too few parameters; from n b = 1 on its "
    "degrees of freedom suffice for the separation.",
    source="PMR Sec. 5.4, Fig. 3",
    protocol=f"Blocks as initialised for widths {tuple(WIDTHS.values())}, (n, b) of {NB}: "
    "numerical rank of each modality's shared part over random features, in double precision.",
    threshold="full rank, l*, from n b = 1 on and less below, for every modality",
    measure=measure,
    judge=judge,
    say=say,
)
