"""MI-guided disentanglement: matched samples alike, others orthogonal (SCOPE Sec. 4.1)."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from pnpfuse.fusion.block import Block
from pnpfuse.fusion.heads import ConcatHead, HeadOutput
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.precision import widen
from pnpfuse.fusion.preservation import unit


def disentanglement(
    h: list[Tensor], masks: list[Tensor] | None = None, same: Tensor | None = None
) -> Tensor:
    """L_sim + L_diff of h^m, each (batch, d): means over matched and over mismatched pairs.

    `same`, bool (batch, batch), are pairs that L_diff leaves alone.
    """
    total = []
    for a, b in combinations(range(len(h)), 2):
        S = unit(widen(h[a])) @ unit(widen(h[b])).mT  # (batch, batch)
        kept = torch.ones_like(S, dtype=torch.bool)
        if masks is not None:
            kept = masks[a][:, None] & masks[b]
        own = torch.eye(len(S), dtype=torch.bool, device=S.device)
        others = kept & ~own if same is None else kept & ~own & ~same
        matched = torch.where(kept & own, (1 - S).square(), 0.0).sum() / (kept & own).sum().clamp(1)
        total.append(matched + torch.where(others, S.square(), 0.0).sum() / others.sum().clamp(1))
    return torch.stack(total).mean() if total else h[0].new_zeros(())


class ScopeHead(ConcatHead):
    """A linear classifier of the joint representation, with the loss "disentanglement".

    Parameters
    ----------
    block : a `SCOPE` block
    classes : number of classes
    disentangle : whether there is that loss
    mask_same_label : whether L_diff leaves pairs of one class alone
    """

    def __init__(
        self, block: Block, classes: int, disentangle: bool = True, mask_same_label: bool = False
    ):
        super().__init__(block, classes)
        self.disentangle, self.mask_same_label = disentangle, mask_same_label
        self.losses_off = frozenset() if disentangle else frozenset({"disentanglement"})

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes), and the loss."""
        logits, losses = super().forward(fusion)
        if self.disentangle and not (self.mask_same_label and labels is None):
            same = None
            if self.mask_same_label and labels is not None:
                same = labels[:, None] == labels
            masks = list(fusion.present.values()) or None
            losses["disentanglement"] = disentanglement(list(fusion.refined.values()), masks, same)
        return logits, losses
