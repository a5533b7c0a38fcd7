"""Whether least joint entropy is greatest common information."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_analysis import entropy, total_correlation

ROWS, FEWER = 4000, 1000
# {what is done to a pair of Gaussian variables: (standard deviation, correlation)}
CHANGES = {
    "correlated": (1.0, 0.8),
    "halved": (0.5, 0.5),
    "larger and correlated": (2.0, 0.8),
}
START = (1.0, 0.5)
CLEAR = 3.0  # standard errors
SEED = 0


def measure(bench: Bench) -> Found:
    """Joint entropy and common information before and after each change, same noise."""
    rows = FEWER if bench.quick else ROWS
    noise = torch.randn(rows, 2, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    before = _both(_pair(noise, *START))
    changes = {name: _both(_pair(noise, *made)) for name, made in CHANGES.items()}
    return {
        "error": max(before["error"], *(c["error"] for c in changes.values())),
        "before": before,
        "changes": {
            name: {key: after[key] - before[key] for key in ("entropy", "information")}
            for name, after in changes.items()
        },
    }


def _pair(noise: Tensor, spread: float, correlation: float) -> list[Tensor]:
    """Two Gaussian variables (rows, 1)."""
    x = noise[:, :1]
    return [spread * x, spread * (correlation * x + np.sqrt(1 - correlation**2) * noise[:, 1:])]


def _both(xs: list[Tensor]) -> dict[str, float]:
    joint, shared = entropy(torch.cat(xs, 1), method="gaussian"), total_correlation(xs)
    return {
        "entropy": float(joint),
        "information": float(shared),
        "error": max(joint.stderr or 0.0, shared.stderr or 0.0),
    }


def judge(found: Found) -> Verdict:
    """Holds where a lower entropy and more information always come together."""
    clear = CLEAR * found["error"]

    def sign(value: float) -> int:
        return 0 if abs(value) < clear else int(np.sign(value))

    apart = [
        name
        for name, d in found["changes"].items()
        if sign(d["entropy"]) != -sign(d["information"])
    ]
    if not apart:
        return holds()
    return fails(
        f"one moves without the other where the features are {' or '.join(apart)}; it needs "
        "entropies of the parts that stay as they are"
    )


def say(found: Found) -> str:
    """Both changes."""
    said = "; ".join(
        f"{name}: entropy {d['entropy']:+.2f}, information {d['information']:+.2f}"
        for name, d in found["changes"].items()
    )
    return f"{said} nats (errors up to {found['error']:.3f})"


CLAIM = Claim(
    statement="To minimise the joint entropy of the features is the same as to maximise what they "
    "have in common.",
    source="GMF Sec. 3.2, Eq. 4, right",
    protocol=f"{ROWS} (quick {FEWER}) pairs of Gaussian features of standard deviation "
    f"{START[0]:g} and correlation {START[1]:g}; joint entropy and mutual information are "
    "estimated before and after changing these to "
    + ", ".join(f"{s:g} and {r:g}" for s, r in CHANGES.values())
    + ", with the same noise.",
    threshold="holds if the two move in opposite directions in every case, changes below "
    f"{CLEAR:g} standard errors counting as none",
    measure=measure,
    judge=judge,
    say=say,
)
