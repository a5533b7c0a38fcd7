"""The objective's gradient beside that of the information."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pnpfuse.figures import blank_figure
from pnpfuse.fusion.infobridge.contrast import contrast_drawn
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import log_ratio

RHO, PAPER, RATIOS = (0.3, 0.6, 0.9), 5, (1, 5, 64, 1024, 16384)
NODES, LIMIT = 60, 0.01


def measure(bench: Bench) -> Found:
    """d L_NCE / d rho over d I / d rho, for each correlation and ratio."""
    shares = [[_slope(rho, ratio) * (1 - rho**2) / rho for ratio in RATIOS] for rho in RHO]
    return {"rho": list(RHO), "ratios": list(RATIOS), "shares": shares}


def _slope(value: float, ratio: int) -> float:
    """The gradient of the objective by the correlation that the encoders leave."""
    rho = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    u, v, weight = _normal()
    critic = rho.detach()  # h is at its maximum, where its own change adds nothing
    true = log_ratio(u, rho * u + (1 - rho**2).sqrt() * v, critic) - math.log(ratio)
    drawn = log_ratio(u, v, critic) - math.log(ratio)
    loss = contrast_drawn(true[None], drawn[None, :, None], ratio)[0]
    return float(torch.autograd.grad(-(weight * loss).sum(), rho)[0])


def _normal() -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Hermite nodes and weights of two standard normal numbers, (nodes^2,) each."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    u, v = np.meshgrid(nodes, nodes)
    weight = np.outer(weights, weights) / (2 * math.pi)
    return torch.tensor(u).ravel(), torch.tensor(v).ravel(), torch.tensor(weight).ravel()


def judge(found: Found) -> Verdict:
    """Holds where the gradients agree at the paper's ratio; corrected where they come to it."""
    column = found["ratios"].index(PAPER)
    here = [row[column] for row in found["shares"]]
    last = [row[-1] for row in found["shares"]]
    if max(abs(share - 1) for share in here) < LIMIT:
        return holds()
    said = f"{min(here):.0%} to {max(here):.0%} of it at N0/N1 = {PAPER}"
    if max(abs(share - 1) for share in last) < LIMIT:
        return corrected(f"only in the limit of many negatives; {said}")
    return fails(said)


def say(found: Found) -> str:
    """The shares at the paper's ratio and at the largest."""
    column = found["ratios"].index(PAPER)
    each = [
        f"rho = {rho}: {row[column]:.3f} and {row[-1]:.3f}"
        for rho, row in zip(found["rho"], found["shares"], strict=True)
    ]
    return f"of the information's gradient at N0/N1 = {PAPER} and {RATIOS[-1]}: {', '.join(each)}"


def draw(found: Found) -> Figure:
    """The share over the ratio."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    for rho, row in zip(found["rho"], found["shares"], strict=True):
        axes.plot(found["ratios"], row, "o-", label=f"correlation {rho}")
    axes.axhline(1, color="black", linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("N0 / N1")
    axes.set_ylabel("gradient of the objective / of the information")
    axes.legend(fontsize="small")
    return figure


CLAIM = Claim(
    statement="The objective's gradient by the encoders is that of the conditional information, "
    "the margin's apart.",
    source="InfoBridge Sec. 3.1, Eq. (14)",
    protocol=f"Encoders that leave a correlation rho of {RHO} between Gaussian features; the "
    "derivative of InfoBridge's objective with the right critic by rho, the loss integrated by "
    f"{NODES} x {NODES} Gauss-Hermite nodes, over rho / (1 - rho^2), that of the information, at "
    f"N0/N1 of {RATIOS}.",
    threshold=f"equal to {LIMIT:.0%} at N0/N1 = {PAPER}; corrected where they become so with more "
    "negatives",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
