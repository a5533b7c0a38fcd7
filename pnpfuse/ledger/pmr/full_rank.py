"""Whether segments as large as the features keep the full rank, and so the features."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paths import WIDTHS, traced

NB = (
    (2.0, 0.5),
    (3.0, 0.4),
    (4.0, 0.3),
    (4.0, 0.5),
    (4.0, 0.75),
    (1.5, 0.3),
    (1.5, 0.7),
    (1.0, 0.5),
)
SEEDS = 3
LIMIT = 1e-8  # double precision, with room for condition numbers of 1e4


def measure(bench: Bench) -> Found:
    """Ranks and residuals over (n, b), by whether each segment is as wide as the features."""
    found: Found = {"met": [], "short": []}
    for n, b in NB:
        for seed in range(SEEDS):
            for m, one in traced(n, b, seed).items():
                enough = min(one.segments) >= WIDTHS[m]
                full = [one.shared == min(WIDTHS.values()), one.specific == WIDTHS[m]]
                found["met" if enough else "short"].append(
                    {"n": n, "b": b, "full": all(full), "residual": one.residual}
                )
    return found


def judge(found: Found) -> Verdict:
    """Holds where every block that meets the condition has full rank and gives V back."""
    bad = [one for one in found["met"] if not one["full"] or one["residual"] > LIMIT]
    if bad:
        return fails(
            f"{len(bad)} of {len(found['met'])} modalities with large enough segments lose rank or "
            f"features, as at n = {bad[0]['n']:g}, b = {bad[0]['b']:g}"
        )
    return holds()


def say(found: Found) -> str:
    """Residuals with the condition met and not."""
    short, full = found["short"], sum(one["full"] for one in found["met"])
    kept = sum(one["residual"] < LIMIT for one in short)
    return (
        f"condition met in {len(found['met'])} modalities: {full} of full rank, at most "
        f"{max(one['residual'] for one in found['met']):.0e} of V's variance lost; not met in "
        f"{len(short)}: {kept} keep V all the same, the others lose up to "
        f"{max(one['residual'] for one in short):.0%}"
    )


CLAIM = Claim(
    statement="A boundary that leaves each dissolved segment no smaller than the features it was "
    "made of is sufficient to preserve full rank, and so guarantees that they can be "
    "reconstructed.",
    source="PMR App. A.2",
    protocol=f"Blocks as initialised for widths {tuple(WIDTHS.values())}, {SEEDS} draws for each "
    f"(n, b) of {NB}: numerical ranks of what the shared and the specific path make of random "
    "features, and the share of V's variance that the best linear map from Z does not give back, "
    "in double precision, for modalities where both segments have l features or more.",
    threshold=f"ranks l* and l, and a share below {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
