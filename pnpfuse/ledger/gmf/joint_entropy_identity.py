"""The joint entropy of features, and those of the parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_analysis import entropy, total_correlation

WIDTHS, LOADING = (2, 3, 1), 1.0  # three modalities that share one variable
ROWS, FEWER = 4000, 1000
ROUNDING = 1e-9
SIGMA = 4.0
SEED = 0


def measure(bench: Bench) -> Found:
    """The identity in closed form for Gaussian features, and as estimated from samples of them."""
    covariance = _covariance()
    closed = {
        "joint": _entropy(covariance),
        "parts": sum(_entropy(part) for part in _parts(covariance)),
        "correlation": _canonical(covariance),
    }
    generator = torch.Generator().manual_seed(SEED)
    rows = FEWER if bench.quick else ROWS
    noise = torch.randn(rows, sum(WIDTHS), generator=generator, dtype=torch.float64)
    xs = list((noise @ torch.linalg.cholesky(covariance).T).split(WIDTHS, dim=1))
    joint = entropy(torch.cat(xs, 1), method="gaussian")
    parts = [entropy(x, method="gaussian") for x in xs]
    shared = total_correlation(xs, method="gaussian")
    errors = [e.stderr or 0.0 for e in (joint, *parts, shared)]
    sampled = {
        "joint": float(joint),
        "parts": float(sum(part.value for part in parts)),
        "correlation": float(shared),
        "error": math.sqrt(sum(error**2 for error in errors)),
    }
    return {"closed": closed, "sampled": sampled}


def _covariance() -> Tensor:
    width = sum(WIDTHS)
    return torch.eye(width, dtype=torch.float64) + LOADING * torch.ones(
        width, width, dtype=torch.float64
    )


def _parts(covariance: Tensor) -> list[Tensor]:
    """The modalities' own covariances."""
    ends = torch.tensor([0, *WIDTHS]).cumsum(0).tolist()
    return [covariance[a:b, a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def _entropy(covariance: Tensor) -> float:
    """Of a Gaussian, nats."""
    return float(len(covariance) * math.log(2 * math.pi * math.e) + covariance.logdet()) / 2


def _canonical(covariance: Tensor) -> float:
    """Total correlation, nats: what is left of the covariance once each part is whitened."""
    white = torch.block_diag(
        *[torch.linalg.inv(torch.linalg.cholesky(part)) for part in _parts(covariance)]
    )
    return float(-torch.linalg.slogdet(white @ covariance @ white.T)[1] / 2)


def judge(found: Found) -> Verdict:
    """Holds where the sums agree in closed form, and as estimated within their errors."""
    closed, sampled = found["closed"], found["sampled"]
    if abs(_left(closed)) > ROUNDING:
        return fails(f"in closed form {_left(closed):+.3g} nats are left")
    for name in ("joint", "parts", "correlation"):
        if abs(sampled[name] - closed[name]) > SIGMA * sampled["error"]:
            return fails(f"the estimated {name} is off by more than {SIGMA:g} standard errors")
    if abs(_left(sampled)) > SIGMA * sampled["error"]:
        return fails(f"as estimated {_left(sampled):+.3g} nats are left")
    return holds()


def _left(sums: dict[str, float]) -> float:
    return sums["joint"] - sums["parts"] + sums["correlation"]


def say(found: Found) -> str:
    """Both sums."""
    closed, sampled = found["closed"], found["sampled"]
    return (
        f"{closed['joint']:.3f} = {closed['parts']:.3f} - {closed['correlation']:.3f} nats in "
        f"closed form (to {abs(_left(closed)):.0e}); estimated {sampled['joint']:.3f}, "
        f"{sampled['parts']:.3f} and {sampled['correlation']:.3f}, which "
        f"leave {abs(_left(sampled)):.0e}"
    )


CLAIM = Claim(
    statement="The joint entropy of the modalities' features is the sum of their entropies less "
    "what they have in common.",
    source="GMF Sec. 3.2, Eq. 4, left",
    protocol=f"Gaussian features of {len(WIDTHS)} modalities of widths {WIDTHS} that share one "
    "variable, what they have in common being their total correlation: all terms in closed form, "
    f"and as estimated from {ROWS} (quick {FEWER}) samples.",
    threshold=f"holds if the closed forms agree to {ROUNDING:g} nats, and each estimate with its "
    f"closed form and all with each other within {SIGMA:g} standard errors",
    measure=measure,
    judge=judge,
    say=say,
)
