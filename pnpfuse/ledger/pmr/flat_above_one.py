"""Whether the accuracy depends on n b from 1 on."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds, untried
from pnpfuse.ledger.measures.n_by_b import Grid, draw_swept, say_swept, swept

GRID: Grid = ((2.0, 4.0), (0.5, 0.7, 0.9))
QUICK: Grid = ((2.0, 4.0), (0.5, 0.9))


def measure(bench: Bench) -> Found:
    """The sweep from n b = 1 on."""
    bench.need(2)
    return swept(bench, QUICK if bench.quick else GRID, "above")


def judge(found: Found) -> Verdict:
    """Holds where there is no trend with all modalities beyond the spread."""
    of = found["none"]
    if of["low"] <= 0 <= of["high"]:
        room = (of["high"] - of["low"]) / 2 * np.log10(max(found["nb"]) / min(found["nb"]))
        if room > of["chance"]:
            return untried(
                f"too few seeds to tell: they leave room for {room:.1f} points, more than the "
                f"{of['chance']:.1f} that equal cells may be apart"
            )
        return holds(f"as far as the seeds can tell, to {room:.1f} points over the grid")
    return fails(
        f"the accuracy {'rises' if of['low'] > 0 else 'falls'} with n b by {abs(of['slope']):.1f} "
        "points a decade"
    )


CLAIM = Claim(
    statement="From n b = 1 on the accuracy is flat: it hardly depends on n and b.",
    source="PMR Sec. 5.4, Fig. 3",
    protocol=f"rPMR trained at n of {GRID[0]} and b of {GRID[1]} (quick: {QUICK[1]}) with the same "
    "seeds; test scores with all modalities, as in the paper, and beside it with one missing; "
    "slope of least squares along log10(n b), seed by seed.",
    threshold="with all modalities the 95% t interval of the slope over the seeds holds 0; not to "
    "be told where half of it, over the grid, exceeds the spread that equal cells have once in 20 "
    "times (studentised range)",
    measure=measure,
    judge=judge,
    say=say_swept,
    draw=draw_swept,
)
