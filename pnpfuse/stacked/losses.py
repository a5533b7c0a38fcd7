"""The losses of many models on a batch each, computed together; gradients by autograd."""

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.fusion.maps import SIDES
from pnpfuse.fusion.pmr import PMR
from pnpfuse.fusion.precision import widen
from pnpfuse.fusion.presence import zero_absent
from pnpfuse.fusion.preservation import sample_error
from pnpfuse.stacked.weights import Weights
from pnpfuse.weighting import TASK

Named = dict[str, Tensor]


class Losses:
    """Encoders, PMR Eq. 4-6, head and losses of P models that `obstacle` has nothing against.

    Parameters
    ----------
    weights : of the P models
    weight : of the preservation loss
    dropout : probability; the draws are handed in
    """

    def __init__(self, weights: Weights, weight: float, dropout: float):
        model = weights.models[0]
        block, blocks = model.block, [cast(PMR, one.block) for one in weights.models]
        assert isinstance(block, PMR)
        self.weights, self.block = weights, block
        self.hidden = model.encoders is not None
        self.fill_input = model.fill_input
        expanded = {m: [one.widths.expanded[m] for one in blocks] for m in block.dims}
        like = next(weights.parameters())
        # What a mean over n l channels divides by, without the padding.
        self.expanded = {m: like.new_tensor(sizes)[:, None] for m, sizes in expanded.items()}
        self.weight = weight

    def __call__(self, X: Named, masks: Named | None, noise: Named | None, labels: Tensor) -> Named:
        """As of `pnpfuse.stacked.gradients.Gradients`: arguments, losses and gradients."""
        known = None if self.fill_input else masks
        V = {m: self._encoded(m, x, known, noise) for m, x in X.items()}  # (P, batch, l)
        parts = self._exchanged(V)
        task = self._task(parts, labels)
        if self.block.gradient == "block_only":
            V = {m: v.detach() for m, v in V.items()}
            parts = self._exchanged(V)
        keep = known and {m: known[m] & known[self.block.source_of(m)] for m in V}  # (P, batch)
        losses = [
            self._preservation(m, v, parts, None if keep is None else keep[m]) for m, v in V.items()
        ]
        preservation = torch.stack(losses).sum(0)  # (P,)
        for flat in self.weights.parameters():
            assert flat.grad is not None
            flat.grad.zero_()
        # Each point's weights have a share in its own loss alone.
        (task + self.weight * preservation).sum().backward()
        return {TASK: task.detach(), "preservation": preservation.detach()}

    def _encoded(self, m: str, x: Tensor, masks: Named | None, noise: Named | None) -> Tensor:
        if not self.hidden:
            return x
        rest = self.weights.named[m]
        H = linear(x, rest["hidden"], rest["hidden_bias"]).relu_()  # (P, batch, 64)
        if noise is not None:
            H = H * noise[m]
        V = linear(H, rest["encoded"], rest["encoded_bias"])  # (P, batch, l)
        return V if masks is None else zero_absent(V, masks[m])

    def _exchanged(self, V: Named) -> dict[str, Named]:
        """The shared part (P, batch, l*) each receives and its specific part (P, batch, l)."""
        own, specific = ({m: self._side(m, v, side) for m, v in V.items()} for side in SIDES)
        return {"shared": {m: own[self.block.source_of(m)] for m in V}, "specific": specific}

    def _side(self, m: str, v: Tensor, side: str) -> Tensor:
        maps = self.weights.named[m]
        bias = maps[f"{side}_bias"] if f"{side}_bias" in maps else None
        return linear(self._dissolved(m, v, side), maps[side], bias)

    def _dissolved(self, m: str, v: Tensor, side: str, bias: bool = True) -> Tensor:
        """One side of D (P, batch, channels)."""
        maps, name = self.weights.named[m], f"dissolve_{side}"
        offset = maps[f"{name}_bias"] if bias and f"{name}_bias" in maps else None
        D = linear(v, maps[name], offset)
        return D if self.block.activation is None else self.block.activation(D)

    def _preservation(
        self, m: str, target: Tensor, parts: dict[str, Named], keep: Tensor | None
    ) -> Tensor:
        """One modality's term of PMR Eq. 6, (P,)."""
        maps = self.weights.named[m]
        bias = maps["recon_bias"] if "recon_bias" in maps else None
        found = linear(parts["shared"][m], maps["recon_shared"], bias)
        found = torch.baddbmm(found, parts["specific"][m], maps["recon_specific"].mT)
        if self.block.gradient != "full":
            target = target.detach()
        transformed = self.block.domain == "transform"
        if transformed:
            biased = self.block.activation is not None
            target, found = (
                torch.cat([self._dissolved(m, v, side, biased) for side in SIDES], -1)
                for v in (target, found)
            )
        mean = self.block.reduction == "mean"
        reduction = "sum" if transformed else self.block.reduction
        error = sample_error(widen(target), widen(found), self.block.metric, reduction)
        if transformed and mean and self.block.metric == "mse":
            error = error / self.expanded[m]
        if keep is None:
            return error.mean(-1)
        kept = torch.where(keep, error, torch.zeros_like(error))  # (P, batch)
        return kept.sum(-1) / keep.sum(-1).clamp(min=1)

    def _task(self, parts: dict[str, Named], labels: Tensor) -> Tensor:
        """The cross-entropy of the head's logits, (P,)."""
        # Classes before rows: there a softmax over few classes is ten times as fast.
        logits = self.weights.head_bias[..., None]  # (P, classes, 1)
        for m, rest in self.weights.named.items():
            for side in SIDES:
                if f"head_{side}" in rest:
                    logits = torch.baddbmm(logits, rest[f"head_{side}"], parts[side][m].mT)
        return cross_entropy(logits, labels, reduction="none").mean(1)  # of (P, classes, batch)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + bias: (P, batch, inputs), (P, outputs, inputs), (P, outputs)."""
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)
