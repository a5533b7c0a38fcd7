"""The SCOPE block: refinement, semantic graphs, integration, diffusion over neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice, check_count, check_switch
from pnpfuse.fusion.attention import check_heads
from pnpfuse.fusion.block import JOINT, Block, present_mean
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence
from pnpfuse.fusion.reference import Reference
from pnpfuse.fusion.scope.alignment import alignment_loss
from pnpfuse.fusion.scope.balanced import BalancedFusion
from pnpfuse.fusion.scope.refinement import Refinement
from pnpfuse.fusion.scope.semantic import WEIGHTS, Neighbours, semantic_graph

FUSIONS = ("diffusion", "mean", "mlp")
INFERENCES = ("bank", "batch")
EDGES = ("near", "weighted")
ALIGNMENT = "alignment"


class SCOPE(Block):
    """SCOPE (Yang et al., Sec. 4) on feature vectors.

    Each modality is refined to h^m; a graph of nearest neighbours is built in each modality; the
    h^m are joined to one h by the modality weights rho; h attends to its neighbours and is diffused
    over them.

    Parameters
    ----------
    dims : {modality: l_m}
    width : d_h, of every h^m and of the joint representation, a multiple of heads
    heads, tokens : of the refinement
    k : neighbours of a sample in each modality's graph; fewer where there are not as many
    steps, xi : T and the rate of the diffusion, see `pnpfuse.fusion.diffusion.coefficients`
    refinement : "both", "self", "cross" or "none", see `Refinement`
    align : whether there is the loss "alignment" (Eq. 6)
    fusion : "diffusion"; "mean", of the h^m of a sample; "mlp", Linear - ReLU - Linear of h
    weights : of the graphs, "exact", "printed" or "normalised", see
        `pnpfuse.fusion.scope.simplex`
    edges : whom h attends to: "near", the k nearest neighbours in any modality; "weighted", those
        among them that the graph's weights did not clip to 0
    mask, form : of the attention and of the diffusion, "neighbours" and "renormalised", or as
        they are printed, "printed" and "truncated"; see `BalancedFusion`
    inference : what a sample is judged beside in evaluation mode: "bank", the rows of the
        reference, or nothing without one; "batch", the other samples of its batch
    bank : rows that the reference is to have; 0, there is to be none
    fill : what stands for an absent V. Nobody asks or looks at it here: an absent modality has
        no tokens.

    Notes
    -----
    In training the graphs run over the batch, as in the paper. In evaluation with inference="bank"
    a sample attends to itself and to rows of the reference, and those to each other alone, so that
    its answer does not depend on its batch.

    ``fused`` has the single entry "joint"; ``refined`` has h^m, 0 where absent. The mask of the
    attention asks only whether G = sum of rho^m G^m has an edge: since rho > 0 for every modality
    that a sample has, the edges are those of all its graphs together.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int = 64,
        *,
        heads: int = 8,
        tokens: int = 2,
        k: int = 30,
        steps: int = 3,
        xi: float = 0.3,
        refinement: str = "both",
        align: bool = True,
        fusion: str = "diffusion",
        weights: str = "exact",
        edges: str = "near",
        mask: str = "neighbours",
        form: str = "renormalised",
        inference: str = "bank",
        bank: int = 256,
        fill: str = "zero",
    ):
        super().__init__(dims, fill)
        self.width, heads = check_heads(width, heads)
        self.k = check_count("k", k)
        self.align = check_switch("align", align)
        self.losses_off = frozenset(() if align else (ALIGNMENT,))
        self.fusion = check_choice("fusion", fusion, FUSIONS)
        self.weights = check_choice("weights", weights, WEIGHTS)
        self.edges = check_choice("edges", edges, EDGES)
        self.inference = check_choice("inference", inference, INFERENCES)
        rows = check_count("bank", bank, least=0)
        self.reference_rows = rows if inference == "bank" and fusion == "diffusion" else 0
        self.refine = Refinement(self.dims, width, heads, tokens, refinement)
        if fusion == "diffusion":
            self.balanced = BalancedFusion(width, steps, xi, form=form, mask=mask)
        if fusion == "mlp":
            self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(
        self,
        features: Features,
        present: Presence | None = None,
        reference: Reference | None = None,
    ) -> FusionOutput:
        """Fuse a batch; as `Block.forward`, beside the rows of a reference if there is one."""
        V, masks = self._resolved(features, present)
        shown = None if masks is None else torch.stack(list(masks.values()))  # (M, batch)
        h, rho = self.refine(V, masks)  # (M, batch, width), (batch, M)
        beside = None if reference is None else self._beside(reference)
        z = integrated(h, rho)  # (batch, width)
        losses: dict[str, Tensor] = {}
        if self.fusion == "mean":
            z = present_mean(list(h), None if shown is None else list(shown))
        elif self.fusion == "mlp":
            z = self.mlp(z)
        if self.align or self.fusion == "diffusion":
            graphs = self._graphs(h, shown, beside)
            if self.align:
                rows, filled = (z, None) if beside is None else (beside.z, beside.filled)
                losses[ALIGNMENT] = alignment_loss(graphs, rows.shape[0], filled)
            if self.fusion == "diffusion":
                z = self._diffused(z, graphs, beside)
        refined = dict(zip(self.dims, h, strict=True))
        return FusionOutput(
            {JOINT: z}, losses=losses, present=masks or {}, features=V, refined=refined
        )

    def _beside(self, reference: Reference) -> Beside:
        """The reference's rows, refined, and their graphs among each other."""
        V = self.fill.put(reference.features, reference.present)
        h, rho = self.refine(V, reference.present)
        among = torch.stack(list(reference.present.values())) & reference.filled  # (M, R)
        inner = self._graph(h, present=among)
        return Beside(integrated(h, rho), h, among, inner, reference.filled)

    def _diffused(self, z: Tensor, graphs: list[Neighbours], beside: Beside | None) -> Tensor:
        if beside is not None:
            return self.balanced(z, graphs, beside.z, beside.inner, beside.filled)
        return self.balanced(z, graphs) if self._within() else self.balanced(z, graphs, z[:0])

    def _graphs(self, h: Tensor, shown: Tensor | None, beside: Beside | None) -> list[Neighbours]:
        """Each modality's graph, from the batch to the batch or to the rows beside it.

        h (M, batch, width), shown bool (M, batch).
        """
        if beside is not None:
            return self._graph(h, present=shown, candidates=beside.h, among=beside.among)
        if self._within():
            return self._graph(h, present=shown)
        nothing = h.new_zeros(*h.shape[:2], 1)
        return Neighbours(nothing.long(), nothing, nothing.bool()).unbind()

    def _within(self) -> bool:
        """Whether the samples of a batch without a reference are judged beside each other."""
        return self.training or self.inference == "batch"

    def _graph(
        self,
        h: Tensor,
        present: Tensor | None,
        candidates: Tensor | None = None,
        among: Tensor | None = None,
    ) -> list[Neighbours]:
        graphs = semantic_graph(
            h, self.k, candidates=candidates, present=present, among=among, weights=self.weights
        )
        if self.edges == "weighted":
            graphs = graphs._replace(valid=graphs.valid & (graphs.weight > 0))
        return graphs.unbind()

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}


class Beside(NamedTuple):
    """Rows of a reference: joint z (R, width), h (M, R, width), who counts (M, R), graphs, and
    which rows there are (R,)."""

    z: Tensor
    h: Tensor
    among: Tensor
    inner: list[Neighbours]
    filled: Tensor


def integrated(h: Tensor, rho: Tensor) -> Tensor:
    """sum of rho^m h^m, (batch, width), for h (M, batch, width) and rho (batch, M)."""
    return (rho.mT[:, :, None] * h).sum(0)
