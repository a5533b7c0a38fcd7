"""MI-guided disentanglement: matched samples alike, others orthogonal (SCOPE Sec. 4.1)."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_switch
from pnpfuse.fusion.block import Block
from pnpfuse.fusion.heads import ConcatHead, HeadOutput
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.precision import widen
from pnpfuse.fusion.preservation import unit

DISENTANGLEMENT = "disentanglement"


def disentanglement(h: Tensor, present: Tensor | None = None, same: Tensor | None = None) -> Tensor:
    """L_sim + L_diff of SCOPE, a scalar.

    With s_ij the cosine of h_i^m and h_j^n, L_sim is the mean of (1 - s_ii)^2 and L_diff the mean
    of s_ij^2 over i != j; both are then averaged over the pairs of modalities.

    Parameters
    ----------
    h : (M, batch, width)
    present : bool (M, batch), the rows that count; None, all
    same : bool (batch, batch), pairs of samples that L_diff leaves alone; None, the pairs with
        themselves alone

    Notes
    -----
    The paper sums over the samples, their pairs, and m != n in both orders. Sums grow with the
    batch, L_diff with its square, and the two orders give the same terms: hence the means. A pair
    of modalities that no sample (L_sim), or no two samples (L_diff), have contributes 0.
    """
    pairs = list(combinations(range(len(h)), 2))
    if not pairs:
        return widen(h).new_zeros(())
    first, second = ([pair[i] for pair in pairs] for i in (0, 1))
    rows = unit(widen(h))  # (M, batch, width)
    S = rows[first] @ rows[second].mT  # (pairs, batch, batch)
    itself = torch.eye(h.shape[1], dtype=torch.bool, device=h.device)
    others = ~(itself if same is None else itself | same)
    kept = torch.ones_like(S, dtype=torch.bool)
    if present is not None:
        kept = present[first][:, :, None] & present[second][:, None]
    return (_mean((1 - S).square(), kept & itself) + _mean(S.square(), kept & others)).mean()


def _mean(terms: Tensor, kept: Tensor) -> Tensor:
    """Mean over the kept ones of terms (pairs, batch, batch), 0 where there are none, (pairs,)."""
    total = torch.where(kept, terms, torch.zeros_like(terms)).sum((1, 2))
    return total / kept.sum((1, 2)).clamp(min=1)


class ScopeHead(ConcatHead):
    """A linear classifier of the joint representation, with the loss "disentanglement".

    Parameters
    ----------
    block : a `SCOPE` block
    classes : number of classes
    disentangle : whether there is that loss
    mask_same_label : whether L_diff leaves pairs of samples of one class alone; such a loss needs
        labels
    """

    def __init__(
        self, block: Block, classes: int, disentangle: bool = True, mask_same_label: bool = False
    ):
        super().__init__(block, classes)
        self.disentangle = check_switch("disentangle", disentangle)
        self.mask_same_label = check_switch("mask_same_label", mask_same_label)
        self.losses_off = frozenset() if disentangle else frozenset({DISENTANGLEMENT})

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes), and the loss."""
        logits, losses = super().forward(fusion)
        if not self.disentangle or (self.mask_same_label and labels is None):
            return logits, losses
        same = None
        if self.mask_same_label and labels is not None:
            same = labels[:, None] == labels  # (batch, batch)
        present = torch.stack(list(fusion.present.values())) if fusion.present else None
        h = torch.stack(list(fusion.refined.values()))  # (M, batch, width)
        return logits, losses | {DISENTANGLEMENT: disentanglement(h, present, same)}
