"""Late fusion, left as it is, and a correction by PMR: for samples that may lack modalities.

Our own; no paper. Experts, one a modality, train the encoders as in late fusion, so that no
modality starves beside a stronger one. PMR sees their features cut off from the encoders and adds
a correction, which pays for its size and is trained with and without modality dropout.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pnpfuse.fusion.arguments import check_probability
from pnpfuse.fusion.block import present_mean
from pnpfuse.fusion.dropout import drop_modalities
from pnpfuse.fusion.exchange import Pairing
from pnpfuse.fusion.heads import HeadOutput, check_classes, view_loss
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.pmr import PMR
from pnpfuse.fusion.widths import Ratio

LOSS_WEIGHTS = {
    "preservation": 0.1,
    "late": 1.0,
    "view": 1.0,
    "dropped": 1.0,
    "correction": 1.0,
}


class DetachedPMR(PMR):
    """`PMR` without biases, in training on features whose gradient is cut.

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
        pairing: Pairing = "next",
        fill: str = "zero",
    ):
        super().__init__(dims, n, b, metric="mse", pairing=pairing, bias=False, fill=fill)

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        cut = {m: v.detach() for m, v in V.items()} if self.training else V
        return replace(super()._fuse(cut, masks), features=V)


class RobustHead(nn.Module):
    """Mean of the present modalities' experts, and the sum of PMR's corrections to them.

    For modality m, whose shared part goes to modality r ::

        expert_m     = A_m V_m + a_m                          (batch, K)
        correction_m = U_r shared_r + W_m specific_m          (batch, K)
        logits       = mean over the present m of expert_m
                       + c + sum over the present m of correction_m

    In training the logits train the correction alone: the experts and the encoders behind them
    follow the losses "late" and "view", which are those of late fusion, and are what late fusion
    would make them. Every modality is judged by itself, so neither this nor late fusion can learn
    what shows in two modalities only together.

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

        late : cross-entropy of the experts' mean
        view : cross-entropy of each expert alone, summed over the modalities
        dropped : cross-entropy of the logits under modality dropout; nothing is dropped outside
            training
        correction : mean square of the correction to the logits, to both of them
        """
        experts = [expert(fusion.features[m]) for m, expert in self.experts.items()]
        corrections = self._corrections(fusion)  # (M, batch, classes)
        masks = list(fusion.present.values()) or None
        late, correction = present_mean(experts, masks), self._total(corrections, masks)
        logits = (late.detach() if self.training else late) + correction  # (batch, classes)
        if labels is None:
            return logits, {}
        some = masks
        if self.training:
            present = fusion.present or None
            some = list(drop_modalities(list(self.experts), present, logits, self.drop).values())
        again = self._total(corrections, some)  # (batch, classes)
        fixed = [expert.detach() for expert in experts]
        return logits, {
            "late": functional.cross_entropy(late, labels),
            "view": view_loss(experts, labels, masks),
            "dropped": functional.cross_entropy(present_mean(fixed, some) + again, labels),
            "correction": correction.square().mean() + again.square().mean(),
        }

    def _corrections(self, fusion: FusionOutput) -> Tensor:
        """What each modality alone contributes to the correction, (M, batch, classes)."""
        maps = self.correction.weight.split(self.widths, dim=1)  # each (classes, width)
        count = len(self.experts)
        shared = dict(zip(self.experts, maps[:count], strict=True))
        specific = dict(zip(self.experts, maps[count:], strict=True))
        parts = []
        for m in self.experts:
            r = self.receiver[m]
            given = functional.linear(fusion.shared[r], shared[r])  # (batch, classes)
            parts.append(given + functional.linear(fusion.specific[m], specific[m]))
        return torch.stack(parts)

    def _total(self, corrections: Tensor, masks: list[Tensor] | None) -> Tensor:
        """c and the sum (batch, classes) of corrections (M, batch, classes) of the present."""
        if masks is not None:
            kept = torch.stack(masks)[..., None]  # (M, batch, 1)
            corrections = torch.where(kept, corrections, torch.zeros_like(corrections))
        return corrections.sum(0) + self.correction.bias

    def extra_repr(self) -> str:
        return f"modalities={list(self.experts)}, drop={self.drop}"
