"""Critics trained on Gaussian pairs in contexts, for claims about what a trained one says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.ledger.measures.gaussian_pairs import draw_pairs

BATCH, RATE = 128, 5e-3
HELD = 400  # rows of a held-out set, all pairs of which are compared


def trained_critic(
    rho: Sequence[float], apart: float, rows: int, epochs: int, condition: str = "label"
) -> InfoBridge:
    """A critic in evaluation mode, trained on pairs as `draw_pairs` gives them."""
    V, T = draw_pairs(rho, rows, seed=0, apart=apart)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = {"x": 1, "y": 1}
        one = InfoBridge(widths, widths, len(rho), condition=condition).train()
        descent = torch.optim.AdamW(one.parameters(), lr=RATE)
        for _ in range(epochs):
            for batch in torch.randperm(rows).split(BATCH):
                part = {m: v[batch] for m, v in V.items()}
                descent.zero_grad()
                one(part, None, T[batch], part)["nce"].backward()
                descent.step()
    return one.eval()


def held_bounds(
    critic: InfoBridge, rho: Sequence[float], apart: float, sets: int, negatives: int, name: str
) -> NDArray[np.float64]:
    """The bound of that name, of fresh sets of pairs, (sets,)."""
    found = []
    for seed in range(1, sets + 1):
        V, T = draw_pairs(rho, HELD, seed, apart)
        found.append(float(critic.bound(V, None, T, V, negatives=negatives)[name]))
    return np.array(found)
