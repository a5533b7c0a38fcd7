"""Kernel distances between encoded modalities over the weight alpha, for Fig. 3's claims."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Found
from pnpfuse.ledger.measures.encodings import encoded
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import kernel_distance, median_bandwidth

WIDTH = 32  # of all encoders: a distance needs one space
ALPHAS, QUICK_ALPHAS = (0.0, 0.1, 1.0), (0.0, 1.0)
KINDS = ("overall", "within", "between")


def at_alpha(bench: Bench) -> dict[float, Training]:
    """{alpha: training}, 0 first."""
    bench.need(2)
    return {a: _training(a) for a in (QUICK_ALPHAS if bench.quick else ALPHAS)}


def _training(alpha: float) -> Training:
    options = {"width": WIDTH} | ({"objective": "none"} if alpha == 0 else {})
    return Training("infobridge", options | ({} if alpha in (0, 0.1) else {"alpha": alpha}))


def distances(bench: Bench) -> Found:
    """{kind: (alphas, seeds)}, mean over the pairs of modalities, and the alphas."""
    table = np.array([_of_seed(bench, seed) for seed in bench.seeds])  # (seeds, alphas, kinds)
    alphas = list(at_alpha(bench))
    return {"alphas": alphas} | {k: table[..., i].T.tolist() for i, k in enumerate(KINDS)}


def _of_seed(bench: Bench, seed: int) -> list[list[float]]:
    """(alphas, kinds), at the bandwidths of the features without the objective."""
    bandwidths: list[float] = []
    rows = []
    for training in at_alpha(bench).values():
        pairs = encoded(bench, training, seed).pairs()
        bandwidths = bandwidths or [float(median_bandwidth(x, y)) for x, y, _ in pairs]
        each = [
            kernel_distance(x, y, labels, bandwidth=bandwidth)
            for (x, y, labels), bandwidth in zip(pairs, bandwidths, strict=True)
        ]
        rows.append([float(np.mean([float(getattr(d, k)) for d in each])) for k in KINDS])
    return rows
