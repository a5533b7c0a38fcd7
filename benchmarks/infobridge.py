"""InfoBridge's held-out bound beside a conditional information that is known in closed form.

    python benchmarks/infobridge.py [--rows 500 2000 8000] [--seeds 2] [--out infobridge.json]

Two modalities, Gaussian given T, correlated column by column by a rho of T's own; their means hang
on T, so that together they tell it, and share much more than they share given T. The critic is
trained as `fit` trains by default (AdamW, 1e-3 to 0 along a cosine, batches of 128, N0 = 5, 30
epochs) and judged on 4000 other rows, in ten parts, whose spread gives the standard error. A line
a training: the truth, and for each N0 of the bound the bound, and its share of the least of truth
and ceiling log N0; "tight" is the tight bound at N0 = 5, its share that of the truth.
"""

import argparse
import json
import math
import time
from pathlib import Path

import timing
import torch
from torch import Tensor

from pnpfuse.fusion.infobridge import InfoBridge

HELD = 4000  # rows that the bound is measured on
# N0 / N1 of the bound; the training's is 5.
KINDS = (("N0 5", 5), ("tight", 5), ("N0 64", 64), ("N0 1024", 1024))
CASES = {
    "rho 0.3": ([0.3], 1),
    "rho 0.6": ([0.6], 1),
    "rho 0.9": ([0.9], 1),
    "rho 0.99": ([0.99], 1),
    "rho 0.6, 4 columns": ([0.6], 4),
    "rho 0.5, 16 columns": ([0.5], 16),
    "rho 0.9, 16 columns": ([0.9], 16),
    "3 classes, 4 columns": ([0.3, 0.6, 0.9], 4),
    "10 classes, 4 columns": ([i / 10 for i in range(10)], 4),
    "nothing but T, 4 columns": ([0.0] * 3, 4),
}


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


def measure(n: int, rhos: list[float], d: int, seed: int, epochs: int, **options) -> dict:
    """Bounds on held-out rows of a critic trained with n others."""
    V, T = correlated(n, rhos, d, seed)
    held, T_held = correlated(HELD, rhos, d, seed + 1000)
    torch.manual_seed(seed)
    dims = {m: x.shape[1] for m, x in V.items()}
    start = time.perf_counter()
    bridge = train(InfoBridge(dims, dims, len(rhos), **options), V, T, epochs, seed)
    seconds, known, found = time.perf_counter() - start, truth(rhos, d), []
    for kind, negatives in KINDS:
        name = "tight_bound" if kind == "tight" else "bound"
        parts = torch.tensor(
            [held_out(bridge, held, T_held, negatives, k)[name] for k in range(10)]
        )
        value = parts.mean().item()
        most = known if kind == "tight" else min(known, math.log(negatives))
        share = value / most if known else None
        error = parts.std().item() / math.sqrt(10)
        found.append({"kind": kind, "bound": value, "stderr": error, "share": share})
    return {
        "rows": n,
        "seed": seed,
        "epochs": epochs,
        "options": options,
        "truth": known,
        "seconds": seconds,
        "bounds": found,
    }


def held_out(
    bridge: InfoBridge, V: dict[str, Tensor], T: Tensor, negatives: int, part: int
) -> dict[str, float]:
    """The bounds on a tenth of the rows."""
    V, T = {m: x[part::10] for m, x in V.items()}, T[part::10]
    return {k: v.item() for k, v in bridge.bound(V, None, T, V, negatives=negatives).items()}


def line(case: str, found: dict) -> str:
    """A training in a line."""
    cells = [f"{case:24} {found['rows']:6d} rows, truth {found['truth']:6.3f}"]
    for one in found["bounds"]:
        share = "" if one["share"] is None else f" {100 * one['share']:3.0f} %"
        cells.append(f"{one['kind']}: {one['bound']:6.3f} +- {one['stderr']:.3f}{share}")
    return " | ".join(cells)


def main() -> None:
    """Train, measure, print a line a training, write them all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--critic", default="separable")
    parser.add_argument("--condition", default="label")
    parser.add_argument("--objective", default="nce")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    options = {k: getattr(args, k) for k in ("critic", "condition", "objective")}
    rows = []
    for case in args.only:
        rhos, d = CASES[case]
        for n in args.rows:
            for seed in range(args.seeds):
                found = measure(n, rhos, d, seed, args.epochs, **options)
                rows.append({"case": case} | found)
                print(line(case, found), flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps({"machine": timing.machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
