"""MI-guided disentanglement: matched samples alike, others orthogonal (SCOPE Sec. 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_switch
from pnpfuse.fusion.block import Block
from pnpfuse.fusion.heads import ConcatHead, HeadOutput
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.precision import widen, without_autocast
from pnpfuse.fusion.presence import zero_absent
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
    if len(h) < 2:
        return widen(h).new_zeros(())
    rows = unit(widen(h))  # (M, batch, width)
    if present is None:
        present = torch.ones(h.shape[:2], dtype=torch.bool, device=h.device)
    rows = zero_absent(rows, present)
    # Made where they are used: a list as an index would be copied to the device in every step.
    a, b = torch.triu_indices(len(h), len(h), 1, device=h.device)  # (pairs,) each
    matched = (rows[a] * rows[b]).sum(-1)  # s_ii, (pairs, batch)
    both = present[a] & present[b]
    similar = torch.where(both, (1 - matched).square(), 0.0).sum(1) / both.sum(1).clamp(min=1)
    with without_autocast(h):
        if same is None:
            total, count = _mismatched(rows, a, b, matched, present)
        else:
            total, count = _other_labels(rows, a, b, present, same)
    return (similar + total / count.clamp(min=1)).mean()


def _mismatched(rows, a, b, matched, present):
    """Sum of s_ij^2 over i != j, and how many there are, (pairs,)."""
    # sum_ij (x_i y_j)^2 is the product of X^T X and Y^T Y: linear in the batch.
    gram = rows.mT @ rows  # (M, width, width)
    count = present.sum(1)  # (M,)
    count = count[a] * count[b] - (present[a] & present[b]).sum(1)
    total = (gram[a] * gram[b]).sum((1, 2)) - matched.square().sum(1)
    return torch.where(count > 0, total.clamp(min=0), 0.0), count  # rounding may leave less


def _other_labels(rows, a, b, present, same):
    """The same without the pairs that `same` names."""
    itself = torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)
    kept = present[a][:, :, None] & present[b][:, None] & ~(itself | same)  # (pairs, batch, batch)
    cosine = rows[a] @ rows[b].mT
    return torch.where(kept, cosine.square(), 0.0).sum((1, 2)), kept.sum((1, 2))


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
        self.losses_off = frozenset(() if disentangle else (DISENTANGLEMENT,))

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
