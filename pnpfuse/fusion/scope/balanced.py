"""Balanced fusion: masked attention over the semantic graphs, diffused (SCOPE Sec. 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.diffusion import MASKS, Attention, coefficients, propagate
from pnpfuse.fusion.scope.neighbourhood import neighbour_attention, union
from pnpfuse.fusion.scope.semantic import Neighbours

FORMS = ("renormalised", "truncated")


class BalancedFusion(nn.Module):
    """h + A~ h, A~ = sum_{t <= T} s_t A^t with one attention A over the edges of all graphs.

    O(T K N d) operations and O(N (K + T d)) numbers kept, K <= 1 + M k edges a row: no row of
    pairs, neither forward nor backward. Values h with no map of their own, as printed.

    Parameters
    ----------
    width : d_c of h
    steps, xi : T and the rate of the diffusion
    form : {"renormalised", "truncated"}
        "renormalised" makes A~ row-stochastic, as the paper says that it is; as printed, with the
        series cut off ("truncated"), its rows sum to 1 - (1 - xi)^(T + 1). See
        `pnpfuse.fusion.diffusion.coefficients`.
    mask : {"neighbours", "printed"}
        See `pnpfuse.fusion.scope.neighbourhood.neighbour_attention`. "printed" is dense.
    residual : False leaves h out of the sum

    Raises
    ------
    ValueError
        On another form or mask, T < 0, or xi outside (0, 1).

    References
    ----------
    SCOPE Sec. 4.3, 4.5.
    """

    def __init__(
        self,
        width: int,
        steps: int = 3,
        xi: float = 0.3,
        *,
        form: str = "renormalised",
        mask: str = "neighbours",
        residual: bool = True,
    ):
        super().__init__()
        self.form = check_choice("form", form, FORMS)
        self.mask = check_choice("mask", mask, MASKS)
        coefficients(form, steps, xi)  # says what is wrong with them
        self.steps, self.xi, self.residual = steps, xi, residual
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self,
        h: Tensor,
        graphs: list[Neighbours],
        reference: Tensor | None = None,
        inner: list[Neighbours] | None = None,
        filled: Tensor | None = None,
    ) -> Tensor:
        """The fused h (batch, width).

        Parameters
        ----------
        h : (batch, width)
        graphs : of each modality, to the rows of h, or of `reference` if there is one
        reference : (R, width), rows that h attends to and that do not attend to h; without any,
            R = 0, each row of h attends to itself alone; None: the rows of h attend to each other
        inner : graphs of each modality among the rows of `reference`; None: each to itself alone
        filled : bool (R,), which rows of `reference` there are, as in a bank not yet full
        """
        nodes, rows = h, None
        if reference is not None:
            nodes, rows = torch.cat([h, reference]), reference.shape[0]
        matrix = self.attention(nodes, graphs, inner, rows, filled)
        fused = propagate(nodes, matrix, self.steps, form=self.form, xi=self.xi)
        fused = fused[: h.shape[0]]
        return h + fused if self.residual else fused

    def attention(
        self,
        nodes: Tensor,
        graphs: list[Neighbours],
        inner: list[Neighbours] | None = None,
        reference: int | None = None,
        filled: Tensor | None = None,
    ) -> Attention:
        """A of the nodes (batch + reference, width): the batch, and then the reference rows.

        [[diagonal, W], [0, A of the reference]] with reference rows, so that what a row of the
        batch becomes does not depend on the others.
        """
        edges = union(graphs, inner, reference, filled)
        return neighbour_attention(self.query(nodes), self.key(nodes), edges, self.mask)
