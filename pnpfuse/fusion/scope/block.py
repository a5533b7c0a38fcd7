"""The SCOPE block: refinement, semantic graphs, integration, diffusion over neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.attention import check_heads
from pnpfuse.fusion.block import JOINT, Block, present_mean
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence
from pnpfuse.fusion.reference import Reference
from pnpfuse.fusion.scope.alignment import alignment_loss
from pnpfuse.fusion.scope.balanced import BalancedFusion
from pnpfuse.fusion.scope.refinement import REFINEMENTS, Refinement
from pnpfuse.fusion.scope.semantic import WEIGHTS, semantic_graph

FUSIONS = ("diffusion", "mean", "mlp")
INFERENCES = ("bank", "batch")


class SCOPE(Block):
    """SCOPE (Sec. 4) on feature vectors.

    Parameters
    ----------
    dims : {modality: l_m}
    width : d_h, of every h^m and of the joint representation
    heads, tokens : of the refinement
    k : neighbours of a sample in each modality's graph
    steps, xi : T and the rate of the diffusion
    refinement, align, fusion : what of it there is
    weights : of the graphs, "exact" or "printed"
    inference : "bank" judges a sample beside the bank's rows, "batch" beside its batch
    bank : number of rows of the bank
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int = 64,
        *,
        heads: int = 8,
        tokens: int = 4,
        k: int = 30,
        steps: int = 3,
        xi: float = 0.3,
        refinement: str = "both",
        align: bool = True,
        fusion: str = "diffusion",
        weights: str = "exact",
        inference: str = "bank",
        bank: int = 512,
        fill: str = "zero",
    ):
        super().__init__(dims, fill)
        self.width, heads = check_heads(width, heads)
        self.k = check_count("k", k)
        self.align = align
        self.losses_off = frozenset() if align else frozenset({"alignment"})
        self.fusion = check_choice("fusion", fusion, FUSIONS)
        self.weights = check_choice("weights", weights, WEIGHTS)
        self.inference = check_choice("inference", inference, INFERENCES)
        self.reference_rows = check_count("bank", bank) if self._uses_bank() else 0
        check_choice("refinement", refinement, REFINEMENTS)
        self.refine = Refinement(self.dims, width, heads, check_count("tokens", tokens), refinement)
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
        """Fuse a batch; as `Block.forward`, beside a reference or, without, beside each other."""
        V, masks = self._resolved(features, present)
        h, rho = self.refine(V, masks)  # each (batch, width), (batch, M)
        z = self._integrated(h, rho)
        losses = {}
        if self.fusion == "mean":
            z = present_mean(list(h.values()), None if masks is None else list(masks.values()))
        elif self.fusion == "mlp":
            z = self.mlp(z)
        if self.fusion == "diffusion" or self.align:
            z, losses = self._over_graph(h, z, masks, reference)
        return FusionOutput({JOINT: z}, losses=losses, present=masks or {}, features=V, refined=h)

    def _over_graph(self, h, z, masks, reference):
        there, zr, among = None, z, masks
        if reference is not None:
            V = self.fill.put(reference.features, reference.present)
            there, rho = self.refine(V, reference.present)
            among = {m: mask & reference.filled for m, mask in reference.present.items()}
            zr = self._integrated(there, rho)
        graphs = [
            semantic_graph(
                h[m],
                self.k,
                candidates=None if there is None else there[m],
                present=None if masks is None else masks[m],
                among=None if among is None else among[m],
                weights=self.weights,
            )
            for m in h
        ]
        losses = {}
        if self.align:
            losses["alignment"] = alignment_loss(graphs, len(zr))
        if self.fusion != "diffusion":
            return z, losses
        if there is None:
            return self.balanced(z, graphs), losses
        inner = [
            semantic_graph(there[m], self.k, present=among[m], weights=self.weights) for m in h
        ]
        return self.balanced(z, graphs, zr, inner), losses

    def _integrated(self, h: dict[str, Tensor], rho: Tensor) -> Tensor:
        """sum of rho^m h^m, (batch, width)."""
        return torch.einsum("bm,mbd->bd", rho, torch.stack(list(h.values())))

    def _uses_bank(self) -> bool:
        return self.inference == "bank" and self.fusion == "diffusion"

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}
