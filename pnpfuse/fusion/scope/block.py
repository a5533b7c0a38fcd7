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
    weights : of the graphs, "exact" or "printed"
    edges : whom h attends to: "near", the k nearest neighbours in any modality; "weighted", those
        among them that the graph's weights did not clip to 0
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
        inference: str = "bank",
        bank: int = 512,
        fill: str = "zero",
    ):
        super().__init__(dims, fill)
        self.width, heads = check_heads(width, heads)
        self.k = check_count("k", k)
        self.align = check_switch("align", align)
        self.losses_off = frozenset() if align else frozenset({ALIGNMENT})
        self.fusion = check_choice("fusion", fusion, FUSIONS)
        self.weights = check_choice("weights", weights, WEIGHTS)
        self.edges = check_choice("edges", edges, EDGES)
        self.inference = check_choice("inference", inference, INFERENCES)
        rows = check_count("bank", bank, least=0)
        self.reference_rows = rows if inference == "bank" and fusion == "diffusion" else 0
        self.refine = Refinement(self.dims, width, heads, tokens, refinement)
        if fusion == "diffusion":
            self.balanced = BalancedFusion(width, steps, xi)
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
        h, rho = self.refine(V, masks)  # {modality: (batch, width)}, (batch, M)
        beside = None if reference is None else self._beside(reference)
        z, losses = integrated(h, rho), {}  # (batch, width)
        if self.fusion == "mean":
            z = present_mean(list(h.values()), None if masks is None else list(masks.values()))
        elif self.fusion == "mlp":
            z = self.mlp(z)
        if self.align or self.fusion == "diffusion":
            graphs = self._graphs(h, masks, beside)
            if self.align:
                others = z if beside is None else beside.z
                losses[ALIGNMENT] = alignment_loss(graphs, others.shape[0])
            if self.fusion == "diffusion":
                z = self._diffused(z, graphs, beside)
        return FusionOutput({JOINT: z}, losses=losses, present=masks or {}, features=V, refined=h)

    def _beside(self, reference: Reference) -> Beside:
        """The reference's rows, refined, and their graphs among each other."""
        V = self.fill.put(reference.features, reference.present)
        h, rho = self.refine(V, reference.present)
        among = {m: mask & reference.filled for m, mask in reference.present.items()}
        inner = [self._graph(h[m], present=among[m]) for m in h]
        return Beside(integrated(h, rho), h, among, inner)

    def _graphs(
        self, h: dict[str, Tensor], masks: dict[str, Tensor] | None, beside: Beside | None
    ) -> list[Neighbours]:
        """Each modality's graph, from the batch to the batch or to the rows beside it."""
        present = dict.fromkeys(h) if masks is None else masks
        if beside is not None:
            return [
                self._graph(x, present=present[m], candidates=beside.h[m], among=beside.among[m])
                for m, x in h.items()
            ]
        if not self.training and self.inference == "bank":
            return [nobody(x) for x in h.values()]
        return [self._graph(x, present=present[m]) for m, x in h.items()]

    def _graph(self, h: Tensor, **who: Tensor | None) -> Neighbours:
        graph = semantic_graph(h, self.k, weights=self.weights, **who)
        if self.edges == "weighted":
            graph = graph._replace(valid=graph.valid & (graph.weight > 0))
        return graph

    def _diffused(self, z: Tensor, graphs: list[Neighbours], beside: Beside | None) -> Tensor:
        if beside is None:
            return self.balanced(z, graphs)
        return self.balanced(z, graphs, beside.z, beside.inner)

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}


class Beside(NamedTuple):
    """Rows of a reference: their joint z (R, width), h^m, whom to look among, their graphs."""

    z: Tensor
    h: dict[str, Tensor]
    among: dict[str, Tensor]
    inner: list[Neighbours]


def integrated(h: dict[str, Tensor], rho: Tensor) -> Tensor:
    """sum of rho^m h^m, (batch, width), for h^m (batch, width) and rho (batch, M)."""
    return (rho.mT[:, :, None] * torch.stack(list(h.values()))).sum(0)


def nobody(h: Tensor) -> Neighbours:
    """The graph of rows h (batch, d) that have no neighbour."""
    nothing = h.new_zeros(h.shape[0], 1)
    return Neighbours(nothing.long(), nothing, nothing.bool())
