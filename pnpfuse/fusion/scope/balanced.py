"""Balanced fusion: masked attention over the semantic graph, diffused (SCOPE Sec. 4.3)."""

from __future__ import annotations

from torch import Tensor, nn

from pnpfuse.fusion.diffusion import coefficients
from pnpfuse.fusion.scope.neighbourhood import neighbour_attention, step, union
from pnpfuse.fusion.scope.semantic import Neighbours


class BalancedFusion(nn.Module):
    """h + sum_t s_t A^t h with one attention matrix A over the edges of all modalities' graphs.

    Parameters
    ----------
    width : d_c of h
    steps, xi : T and the rate of the diffusion, see `pnpfuse.fusion.diffusion.coefficients`
    """

    def __init__(self, width: int, steps: int = 3, xi: float = 0.3):
        super().__init__()
        self.series = coefficients("renormalised", steps, xi)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self,
        h: Tensor,
        graphs: list[Neighbours],
        reference: Tensor | None = None,
        inner: list[Neighbours] | None = None,
    ) -> Tensor:
        """The fused h (batch, width).

        Parameters
        ----------
        h : (batch, width)
        graphs : of each modality, to the rows of h, or of `reference` if there is one
        reference : (R, width), rows that h attends to and that do not attend to h
        inner : graphs of each modality among the rows of `reference`
        """
        others = h if reference is None else reference
        levels = [others]
        if inner is not None:
            edges = union(inner)
            own, weight = neighbour_attention(
                self.query(others), self.key(others), self.key(others), edges
            )
            for _ in self.series[1:]:
                levels.append(step(own, weight, edges, levels[-1], levels[-1]))
        edges = union(graphs)
        own, weight = neighbour_attention(self.query(h), self.key(h), self.key(others), edges)
        power, total = h, self.series[0] * h
        for t, c in enumerate(self.series[1:]):
            power = step(own, weight, edges, power, power if inner is None else levels[t])
            total = total + c * power
        return h + total
