"""What the margin does to the encoders."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import draw_pairs
from pnpfuse_analysis import nce_bound

RATIO, ROWS = 5, 64
RHO = (0.5, 0.9)


def measure(bench: Bench) -> Found:
    """Gradients at linear encoders: of the margin that is added, and of the one inside h."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = {m: torch.randn(1, 4, dtype=torch.float64, requires_grad=True) for m in "xy"}
        V, T = draw_pairs(RHO, ROWS, seed=0)
        z = {m: v.double() @ encoders[m] for m, v in V.items()}
        weights = list(encoders.values())
        bare = _gradient(_terms(z, 1.0, False), weights)  # at N0 = N1 there is no margin
        printed = _gradient(_terms(z, 1.0, False) + _margin(z), weights)
        inside = [_trained(z, T, weights, margin) for margin in (None, 0.0)]
    return {
        "whole": float(bare.norm()),
        "added": float((printed - bare).norm()),
        "inside": float((inside[0] - inside[1]).norm() / inside[1].norm()),
    }


def _terms(z: dict[str, Tensor], ratio: float, printed: bool) -> Tensor:
    """Eq. (5) for a critic that takes the product of the features."""
    logits = z["x"] @ z["y"].T
    return nce_bound(logits.diagonal(), logits, n0=ratio, paper_margin=printed)


def _margin(z: dict[str, Tensor]) -> Tensor:
    """Half of what the two signs of the margin differ by: log(N1/N0)."""
    return (_terms(z, RATIO, True) - _terms(z, RATIO, False)) / 2


def _trained(
    z: dict[str, Tensor], T: Tensor, weights: list[Tensor], margin: float | None
) -> Tensor:
    """The gradient of InfoBridge's loss with a margin inside h, weights and draws the same."""
    torch.manual_seed(1)
    widths = {m: v.shape[1] for m, v in z.items()}
    bridge = InfoBridge(widths, widths, len(RHO), negatives=RATIO, margin=margin).double()
    return _gradient(bridge(z, None, T, z)["nce"], weights)


def _gradient(value: Tensor, weights: list[Tensor]) -> Tensor:
    found = torch.autograd.grad(value, weights, retain_graph=True)
    return torch.cat([one.flatten() for one in found])


def judge(found: Found) -> Verdict:
    """Holds where the added margin has a gradient; the limit is rounding in float64."""
    if found["added"] > 1e-12 * found["whole"]:
        return holds()
    said = "log(N1/N0) is a constant and its gradient exactly 0" if found["added"] == 0 else (
        "the gradient of log(N1/N0) is no more than rounding"
    )  # fmt: skip
    if found["inside"] > 0:
        said += "; a margin has one only inside h = sigmoid(s - margin)"
    return fails(said)


def say(found: Found) -> str:
    """Norms."""
    return (
        f"gradient of the added margin {found['added']:g} beside {found['whole']:.2g} of the "
        f"objective; inside h it moves the gradient by {found['inside']:.1f} times its size without"
    )


CLAIM = Claim(
    statement="The protective margin log(N1/N0) gives the encoders a gradient term of its own, "
    "which prevents that one modality dominates.",
    source="InfoBridge Sec. 3.1, Eq. (14)",
    protocol=f"Two linear encoders and {ROWS} Gaussian pairs; the gradient of Eq. (5) by their "
    f"weights with the printed margin at N0/N1 = {RATIO} and without one; beside it that of "
    "InfoBridge's loss with the margin inside the critic and with none.",
    threshold="a gradient of the margin above rounding, 1e-12 of the whole",
    measure=measure,
    judge=judge,
    say=say,
)
