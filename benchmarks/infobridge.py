"""InfoBridge's held-out bound beside a conditional information that is known."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from pnpfuse.fusion.infobridge import InfoBridge

HELD = 4000  # rows that the bound is measured on


def correlated(
    rows: int, rhos: list[float], d: int, seed: int, means: float = 2.0
) -> tuple[dict[str, Tensor], Tensor]:
    """Pairs of Gaussian rows of correlation rhos[T] in every column, and T.

    The means of both are drawn for each T: together they tell T, and so share more than they do
    given T.
    """
    random = torch.Generator().manual_seed(seed)
    place = means * torch.randn(2, len(rhos), d, generator=torch.Generator().manual_seed(99))
    T = torch.randint(0, len(rhos), (rows,), generator=random)
    rho = torch.tensor(rhos)[T, None]
    x, e = torch.randn(2, rows, d, generator=random)
    y = rho * x + (1 - rho**2).sqrt() * e
    return {"x": x + place[0, T], "y": y + place[1, T]}, T


def truth(rhos: list[float], d: int) -> float:
    """I(x; y | T), the classes being as frequent."""
    return sum(-d / 2 * math.log(1 - rho**2) for rho in rhos) / len(rhos)


def train(
    bridge: InfoBridge, V: dict[str, Tensor], T: Tensor, epochs: int, seed: int
) -> InfoBridge:
    """As `fit` trains by default: AdamW, 1e-3 to 0 along a cosine, batches of 128."""
    torch.manual_seed(seed)
    descent = torch.optim.AdamW(bridge.parameters(), lr=1e-3)
    steps = epochs * -(-len(T) // 128)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
    bridge.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(T)).split(128):
            batch = {m: x[rows] for m, x in V.items()}
            loss = bridge(batch, None, T[rows], batch)["nce"]
            descent.zero_grad()
            loss.backward()
            descent.step()
            schedule.step()
    return bridge.eval()


def measure(
    n: int,
    rhos: list[float],
    d: int,
    seed: int,
    epochs: int,
    at: tuple[int, ...] = (5, 64, 1024),
    **options,
) -> dict:
    """Bounds on held-out rows of a critic trained with n others."""
    V, T = correlated(n, rhos, d, seed)
    held, T_held = correlated(HELD, rhos, d, seed + 1000)
    torch.manual_seed(seed)
    dims = {m: x.shape[1] for m, x in V.items()}
    start = time.perf_counter()
    bridge = train(InfoBridge(dims, dims, len(rhos), **options), V, T, epochs, seed)
    seconds = time.perf_counter() - start
    found = {}
    for negatives in at:
        parts = [held_out(bridge, held, T_held, negatives, part) for part in range(4)]
        values = torch.tensor(parts)
        found[negatives] = {
            "bound": values.mean().item(),
            "stderr": (values.std() / 2).item(),
            "ceiling": math.log(negatives),
        }
    return {
        "n": n,
        "rho": rhos,
        "d": d,
        "seed": seed,
        "epochs": epochs,
        "truth": truth(rhos, d),
        "seconds": seconds,
        "options": options,
        "negatives": found,
    }


def held_out(bridge: InfoBridge, V: dict[str, Tensor], T: Tensor, negatives: int, part: int):
    """The bound on a quarter of the rows."""
    V, T = {m: x[part::4] for m, x in V.items()}, T[part::4]
    return bridge.bound(V, None, T, V, negatives=negatives)["bound"].item()
