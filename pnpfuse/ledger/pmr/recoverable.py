"""Whether the features can be recovered from what the block makes of them, and thanks to what."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from pnpfuse.diagnosis.fusion_points import drawn
from pnpfuse.evaluation import rows_for
from pnpfuse.fusion.model import FusionModel
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views

WITH = Training("spmr")
WITHOUT = Training("rpmr", settings={"weights": {"preservation": 0.0}})
ROWS = 1000
LIMIT = 1e-6  # double precision, 1e-16, times the square of a condition number of 1e5


def trainings(bench: Bench) -> list[Training]:
    """With the preservation loss and without."""
    bench.need(2)
    return [WITH, WITHOUT]


def measure(bench: Bench) -> Found:
    """Shares of the variance that are not recovered, the worst modality of each seed."""
    bench.need(2)
    rows = drawn(bench.views.test, ROWS, seed=0)
    return {
        "with": [_lost(bench.model(WITH, seed), rows) for seed in bench.seeds],
        "without": [_lost(bench.model(WITHOUT, seed), rows) for seed in bench.seeds],
        "own": [_lost(bench.model(WITH, seed), rows, own=True) for seed in bench.seeds],
    }


def judge(found: Found) -> Verdict:
    """Holds where the loss makes the difference."""
    kept, kept_without = (max(found[name]) < LIMIT for name in ("with", "without"))
    if kept and kept_without:
        return corrected(
            "nothing is lost, but without the preservation loss neither: that the maps have full "
            "rank sees to it"
        )
    if kept:
        return holds()
    return fails(f"{max(found['with']):.1e} of the variance of a modality cannot be recovered")


def say(found: Found) -> str:
    """What is lost, by the best linear map and by the block's own."""
    return (
        f"share of the variance of V that Z does not hold: {max(found['with']):.0e} with the loss, "
        f"{max(found['without']):.0e} without; the trained P_recon's own error is "
        f"{np.mean(found['own']):.2g} times the variance"
    )


@torch.no_grad()
def _lost(model: FusionModel, rows: Views, own: bool = False) -> float:
    """Share of a modality's variance that is not in its Z, or not in its own reconstruction."""
    model = copy.deepcopy(model).double()
    V = model.encode(rows_for(model, rows)[0])  # each (rows, l_m)
    fused = model.fuse(V)
    found = fused.reconstruction
    if not own:
        # Fitted on features of all directions, so that the number of training rows is no matter.
        widest = 2 * max(z.shape[1] for z in fused.fused.values()) + 1
        generator = torch.Generator().manual_seed(0)
        white = {
            m: torch.randn(2 * widest, v.shape[1], generator=generator).to(v) for m, v in V.items()
        }
        fit = model.fuse(white).fused
        found = {m: _with_one(fused.fused[m]) @ _map(_with_one(fit[m]), white[m]) for m in V}
    each = [
        (found[m] - v).square().sum() / (v - v.mean(0)).square().sum().clamp(min=1e-300)
        for m, v in V.items()
    ]
    return float(torch.stack(each).max())


def _map(Z: Tensor, V: Tensor) -> Tensor:
    return torch.linalg.pinv(Z) @ V


def _with_one(Z: Tensor) -> Tensor:
    return torch.cat([Z, torch.ones_like(Z[:, :1])], dim=1)


CLAIM = Claim(
    statement="Conservation, as the preservation loss, ensures that fusion reorders the features "
    "and does not destroy them: V can be recovered from Z.",
    source="PMR Sec. 4, App. E.4",
    protocol=f"Share of the variance of each modality's V on up to {ROWS} test rows that the best "
    "linear map from its Z does not give back, in double precision, for sPMR and for the block "
    "trained with a preservation loss of weight 0, the worst modality and seed; beside it the "
    "error of the block's own reconstruction, the worst modality, mean over seeds.",
    threshold=f"below {LIMIT:g} with the loss and not without it",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
