"""The critic that the objective asks for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pnpfuse.fusion.infobridge.contrast import contrast_drawn
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

# How often each (z1, z2) was seen, in two contexts.
TABLES = ([[5, 1, 2], [1, 6, 1], [2, 1, 5]], [[2, 3, 1], [4, 1, 3]])
RATIOS = (1, 5, 64)
STEPS = 80
LIMIT = 1e-9  # of probabilities in float64, Newton's method having converged


def measure(bench: Bench) -> Found:
    """The largest difference of the best critic from Eq. (3), for each N0/N1."""
    tables = [torch.tensor(table, dtype=torch.float64) for table in TABLES]
    return {
        "ratios": list(RATIOS),
        "errors": [max(_error(table, ratio) for table in tables) for ratio in RATIOS],
    }


def _error(table: Tensor, ratio: int) -> float:
    joint = table / table.sum()
    drawn = joint.sum(1, keepdim=True) * joint.sum(0)
    posterior = joint / (joint + ratio * drawn)  # Eq. (3)
    return float((torch.sigmoid(_best(table, ratio)) - posterior).abs().max())


def _best(table: Tensor, ratio: int) -> Tensor:
    """The logits, a cell of the table each, that minimise the loss: Newton's method."""
    first, second = table.nonzero().T
    count = table[first, second].long()
    first, second = first.repeat_interleave(count), second.repeat_interleave(count)  # (rows,)
    logits = torch.zeros_like(table, requires_grad=True)
    for _ in range(STEPS):
        true, drawn = logits[first, second], logits[first[:, None], second]  # (rows, rows)
        loss = contrast_drawn(true[None], drawn[None], ratio).mean()
        (slope,) = torch.autograd.grad(loss, logits, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), logits)  # no cell hangs on another
        step = (slope / bend).detach().clamp(-1, 1)
        logits = (logits.detach() - step).requires_grad_()
    return logits.detach()


def judge(found: Found) -> Verdict:
    """Holds where no cell differs by more than rounding."""
    worst = max(math.inf if error is None else error for error in found["errors"])
    return holds() if worst < LIMIT else fails(f"the best h differs from Eq. (3) by {worst:.2g}")


def say(found: Found) -> str:
    """The largest difference."""
    ratios = ", ".join(map(str, found["ratios"]))
    return f"h differs from Eq. (3) by at most {max(found['errors']):.1e} at N0/N1 = {ratios}"


CLAIM = Claim(
    statement="The critic that maximises the contrastive objective is the posterior "
    "p(z1, z2 | T) / (p(z1, z2 | T) + N0/N1 p(z1 | T) p(z2 | T)).",
    source="InfoBridge Sec. 3, Eqs. (3), (6) and (7)",
    protocol=f"Two contexts with finitely many pairs of known frequency; the loss of InfoBridge "
    f"over all true pairs and all drawn ones of the same context is minimised over a free logit "
    f"for each pair, by Newton's method, for N0/N1 of {RATIOS}; the greatest difference of h "
    "from Eq. (3).",
    threshold=f"every difference below {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
