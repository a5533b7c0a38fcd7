"""A batch of samples with the graph of its nearest neighbours, and attention over it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pnpfuse.fusion.diffusion import Attention, attention, with_self_loops
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse_analysis import knn_graph
from pnpfuse_analysis.samples import standardised

BATCH, K = 60, 30  # SCOPE Sec. 5.1
SAID = (
    f"for a batch of {BATCH} test rows, the {K} nearest neighbours of each and the row itself as "
    "edges, queries and keys by random projections, a draw a seed"
)


class Batch(NamedTuple):
    """Standardised features of all modalities (N, d), edges without self-loops, both maps."""

    x: Tensor
    edges: Tensor
    query: Tensor
    key: Tensor

    def attention(self, mask: str) -> Attention:
        """A over the edges and the rows themselves."""
        reach = with_self_loops(self.edges, len(self.x))
        return attention(self.query, self.key, reach, mask=mask)


def batch(bench: Bench, seed: int) -> Batch:
    """In double precision; CannotTry with fewer than three test rows that differ."""
    test = bench.views.test
    rows = np.random.default_rng(0).permutation(len(test))[:BATCH]
    x = torch.from_numpy(np.concatenate(list(test.read(rows).values()), axis=1)).double()
    x = standardised(x)[0] if len(x) > 2 else x[:, :0]
    if not x.shape[1]:
        raise CannotTry("needs three test rows that differ")
    draw = torch.Generator().manual_seed(seed)
    width = min(x.shape[1], 64)
    maps = torch.randn(2, x.shape[1], width, generator=draw, dtype=torch.float64)
    query, key = (x @ W / x.shape[1] ** 0.5 for W in maps)  # (N, width)
    return Batch(x, knn_graph(x, min(K, len(x) - 1)), query, key)
