"""How far the semantic graphs of the modalities differ (SCOPE Eq. 6)."""

from itertools import combinations

import torch
from torch import Tensor

from pnpfuse.fusion.scope.semantic import Neighbours


def alignment_loss(graphs: list[Neighbours], candidates: int) -> Tensor:
    """Mean over the pairs of modalities of |G^m - G^n|_F^2 / N^2, a scalar."""
    dense = [_dense(graph, candidates) for graph in graphs]
    rows = len(graphs[0].index)
    gaps = [(a - b).square().sum() / rows**2 for a, b in combinations(dense, 2)]
    return torch.stack(gaps).mean() if gaps else graphs[0].weight.new_zeros(())


def _dense(graph: Neighbours, candidates: int) -> Tensor:
    empty = graph.weight.new_zeros(len(graph.index), candidates)
    return empty.scatter_add(1, graph.index, graph.weight)
