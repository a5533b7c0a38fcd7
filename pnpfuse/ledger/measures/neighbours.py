"""Squared distances to the nearest in a batch, from which SCOPE's graph weights come."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.dominance.probing import held
from pnpfuse.ledger.bench import Bench
from pnpfuse_analysis.samples import standardised

BATCH, K = 60, 30  # SCOPE Sec. 5.1
WIDTHS = (32, 512)
BATCHES, FEW = 4, 2
SAID = (
    f"squared distances of samples to the k nearest others in batches of {BATCH}, of the "
    f"standardised training rows of each modality and of Gaussian rows of width "
    f"{' and '.join(map(str, WIDTHS))}, in double precision; k = {K} unless said otherwise, and "
    "rows with a copy are left out"
)


def neighbour_costs(bench: Bench, k: int = K) -> dict[str, Tensor]:
    """{what: (rows, min(k, batch - 1))}, float64, ascending in each row and above 0."""
    batches = FEW if bench.quick else BATCHES
    found = {f"Gaussian, {width} wide": _gaussian(batches * BATCH, width) for width in WIDTHS}
    train = bench.views.train
    draw = np.random.default_rng(0)
    for m in train.names:
        rows = draw.permutation(held(train, m))[: batches * BATCH]
        x = torch.from_numpy(train.read(rows, [m])[m]).double()
        x = standardised(x)[0] if len(x) > 2 else x[:0]
        if x.numel():
            found[m] = x
    costs = {name: _nearest(x, k) for name, x in found.items()}
    return {name: cost for name, cost in costs.items() if len(cost)}


def _gaussian(rows: int, width: int) -> Tensor:
    draw = torch.Generator().manual_seed(width)
    return torch.randn(rows, width, generator=draw, dtype=torch.float64)


def _nearest(x: Tensor, k: int) -> Tensor:
    """Squared distances (rows, k) of the rows of x (rows, d) within their batches."""
    size = min(BATCH, len(x))
    parts = [part for part in x.split(size) if len(part) == size]  # as many neighbours for all
    found = []
    for part in parts:
        exact = "donot_use_mm_for_euclid_dist"
        apart = torch.cdist(part, part, compute_mode=exact).square().fill_diagonal_(torch.inf)
        found.append(apart.topk(min(k, size - 1), largest=False).values.sort(1).values)
    cost = torch.cat(found)
    return cost[cost[:, 0] > 0]
