"""Experts, one a modality, corrected by PMR: for samples that may lack modalities.

Our own; no paper. The experts train the encoders, so that no modality starves beside a
stronger one. PMR sees their features cut off from the encoders and adds a correction, which pays
for its size and is trained with and without modality dropout.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pnpfuse.fusion.arguments import check_probability
from pnpfuse.fusion.dropout import drop_modalities
from pnpfuse.fusion.heads import HeadOutput, check_classes, view_loss
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.pmr import PMR
from pnpfuse.fusion.widths import Ratio

LOSS_WEIGHTS = {
    "preservation": 0.1,
    "view": 2.0,
    "dropped": 1.0,
    "correction": 0.1,
    "distillation": 1.0,
}


class DetachedPMR(PMR):
    """`PMR` without biases on features whose gradient is cut, beside the features themselves.

    Without biases an absent V = 0 contributes exactly nothing to `fused`: a head can drop a
    modality afterwards, and need not run the block once more.

    Parameters
    ----------
    dims, n, b, pairing : as in `PMR`
    fill : as in `PMR`; `RobustHead` reads no absent row, whatever it holds
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n: float = 4,
        b: Ratio = 0.5,
        *,
        pairing: str = "next",
        fill: str = "zero",
    ):
        super().__init__(dims, n, b, metric="mse", pairing=pairing, bias=False, fill=fill)

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        cut = {m: v.detach() for m, v in V.items()}
        return replace(super()._fuse(cut, masks), features=V)


class RobustHead(nn.Module):
    """Sum over the present modalities of an expert's logits and of PMR's correction to it.

    For modality m, whose shared part goes to modality r ::

        expert_m     = A_m V_m + a_m                          (batch, K)
        correction_m = U_r shared_r + W_m specific_m          (batch, K)
        logits       = c + sum over the present m of (expert_m / sqrt(p) + correction_m)

    with p the number of modalities that are present. The root lies between a product of experts,
    which counts twice what two modalities agree on, and their mean, which makes ten sure
    modalities no surer than one. Every modality is judged by itself, so neither this nor late
    fusion can learn what shows in two modalities only together.

    Parameters
    ----------
    block : the block in front
    classes : number of classes K
    drop : probability of dropping each present modality of each sample, for the loss "dropped"
    """

    def __init__(self, block: DetachedPMR, classes: int, drop: float = 0.3):
        super().__init__()
        classes = check_classes(classes)
        self.drop = check_probability("drop", drop)
        self.receiver = {block.source_of(m): m for m in block.dims}
        self.experts = nn.ModuleDict({m: nn.Linear(w, classes) for m, w in block.dims.items()})
        self.widths = [*block.part_widths("shared").values(), *block.dims.values()]
        self.correction = nn.Linear(sum(self.widths), classes)

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes); with labels (batch,) these losses as well.

        view : cross-entropy of each expert alone, mean over the modalities
        distillation : the same against the model's own probabilities instead of the labels
        dropped : cross-entropy of the logits under modality dropout; nothing is dropped outside
            training
        correction : mean square of the correction to the logits, to both of them
        """
        experts = [expert(fusion.features[m]) for m, expert in self.experts.items()]
        evidence = torch.stack(experts)  # (M, batch, classes)
        corrections = self._corrections(fusion)  # (M, batch, classes)
        masks = list(fusion.present.values()) or None
        correction = self._total(corrections, masks)  # (batch, classes)
        logits = _pooled(evidence, masks) + correction  # (batch, classes)
        if labels is None:
            return logits, {}
        count = len(experts)
        losses = {
            "view": view_loss(experts, labels, masks) / count,
            "distillation": view_loss(experts, logits.detach().softmax(-1), masks) / count,
            "correction": correction.square().mean(),
        }
        some = masks
        if self.training:
            present = fusion.present or None
            some = list(drop_modalities(list(self.experts), present, logits, self.drop).values())
        correction = self._total(corrections, some)  # (batch, classes)
        losses["correction"] = losses["correction"] + correction.square().mean()
        dropped = _pooled(evidence, some) + correction  # (batch, classes)
        losses["dropped"] = functional.cross_entropy(dropped, labels)
        return logits, losses

    def _corrections(self, fusion: FusionOutput) -> Tensor:
        """What each modality alone contributes to the correction, (M, batch, classes)."""
        maps = self.correction.weight.split(self.widths, dim=1)  # each (classes, width)
        shared = dict(zip(self.experts, maps, strict=False))
        specific = dict(zip(self.experts, maps[len(shared) :], strict=True))
        parts = []
        for m in self.experts:
            r = self.receiver[m]
            given = functional.linear(fusion.shared[r], shared[r])  # (batch, classes)
            parts.append(given + functional.linear(fusion.specific[m], specific[m]))
        return torch.stack(parts)

    def _total(self, corrections: Tensor, masks: list[Tensor] | None) -> Tensor:
        return _added(corrections, masks) + self.correction.bias  # (batch, classes)

    def extra_repr(self) -> str:
        return f"modalities={list(self.experts)}, drop={self.drop}"


def _added(parts: Tensor, masks: list[Tensor] | None) -> Tensor:
    """Sum (batch, classes) of parts (M, batch, classes) over the modalities a sample has."""
    if masks is None:
        return parts.sum(0)
    kept = torch.stack(masks)[..., None]  # (M, batch, 1)
    return torch.where(kept, parts, torch.zeros_like(parts)).sum(0)


def _pooled(parts: Tensor, masks: list[Tensor] | None) -> Tensor:
    """`_added` over the root of how many modalities a sample has, (batch, classes)."""
    if masks is None:
        return parts.sum(0) / len(parts) ** 0.5
    count = torch.stack(masks).sum(0).clamp(min=1).to(parts.dtype)  # (batch,)
    return _added(parts, masks) * count.rsqrt()[:, None]
