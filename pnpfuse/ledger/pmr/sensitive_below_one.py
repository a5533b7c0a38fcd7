"""Whether the accuracy depends on n b below 1."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.n_by_b import CONDITIONS, Grid, draw_swept, say_swept, swept

GRID: Grid = ((0.5, 1.0), (0.1, 0.5, 0.9))
QUICK: Grid = ((0.5, 1.0), (0.1, 0.9))


def measure(bench: Bench) -> Found:
    """The sweep below n b = 1."""
    bench.need(2)
    return swept(bench, QUICK if bench.quick else GRID, "below")


def judge(found: Found) -> Verdict:
    """Holds where the accuracy with all modalities rises with n b beyond the spread."""
    of, each = found["none"], found["each"]
    if of["low"] > 0:
        return holds()
    if of["high"] < 0:
        return fails(f"the accuracy falls with n b by {-of['slope']:.1f} points a decade")
    also = f"; with {CONDITIONS['each']} it rises" if each["low"] > 0 else ""
    return fails(
        f"with {CONDITIONS['none']} the accuracy has no trend along n b beyond the spread over "
        f"seeds{also}"
    )


CLAIM = Claim(
    statement="Below n b = 1, where the dissociation channel is too narrow, the accuracy is "
    "sensitive to n b.",
    source="PMR Sec. 5.4, Fig. 3",
    protocol=f"rPMR trained at n of {GRID[0]} and b of {GRID[1]} (quick: {QUICK[1]}) with the same "
    "seeds; test scores with all modalities, as in the paper, and beside it with one missing; "
    "slope of least squares along log10(n b), seed by seed.",
    threshold="with all modalities the 95% t interval of the slope over the seeds lies above 0",
    measure=measure,
    judge=judge,
    say=say_swept,
    draw=draw_swept,
)
