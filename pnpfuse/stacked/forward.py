"""The losses of many models on a batch each, computed together."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pnpfuse.fusion.maps import SIDES
from pnpfuse.fusion.pmr import PMR
from pnpfuse.fusion.precision import widen
from pnpfuse.fusion.presence import zero_absent
from pnpfuse.fusion.preservation import sample_error
from pnpfuse.stacked.weights import Weights
from pnpfuse.weighting import TASK

Named = dict[str, Tensor]


class Forward(nn.Module):
    """Encoders, PMR Eq. 4-6, head and losses of P models that `obstacle` has nothing against.

    Parameters
    ----------
    weights : of the P models
    batch : rows of a whole batch
    """

    def __init__(self, weights: Weights, batch: int):
        super().__init__()
        model = weights.models[0]
        block, blocks = model.block, [one.block for one in weights.models]
        assert isinstance(block, PMR)
        self.weights, self.block = weights, block
        self.parts = model.head.parts
        self.hidden = model.encoders is not None
        self.fill_input = model.fill_input
        expanded = {m: [one.widths.expanded[m] for one in blocks] for m in block.dims}
        like = next(weights.parameters())
        # What a mean over n l channels divides by, without the padding.
        self.expanded = {m: like.new_tensor(sizes)[:, None] for m, sizes in expanded.items()}
        worth = [maps._worthwhile for one in blocks for maps in one.maps]
        self.multiplied = block.activation is None and batch > max(worth)

    def forward(
        self, X: Named, masks: Named | None, noise: Named | None, labels: Tensor
    ) -> dict[str, Tensor]:
        """Every loss (P,) by name, as `pnpfuse.objective.Objective` gives them for one model.

        Parameters
        ----------
        X : {modality: (P, batch, d)}, standardised, zero where absent
        masks : {modality: bool (P, batch)}, or None if nothing is absent
        noise : {modality: (P, batch, 64)}, factors of dropout, or None
        labels : int64 (P, batch)
        """
        known = None if self.fill_input else masks
        V = {m: self._encoded(m, x, known, noise) for m, x in X.items()}  # (P, batch, l)
        own, specific = self._separated(V)
        shared = {m: own[self.block.source_of(m)] for m in V}
        fused = {m: torch.cat([shared[m], specific[m]], dim=-1) for m in V}
        task = self._task(
            {"all": fused, "shared": shared, "specific": specific}[self.parts], labels
        )
        if self.block.gradient == "block_only":
            V = {m: v.detach() for m, v in V.items()}
            own, specific = self._separated(V)
            fused = {m: torch.cat([own[self.block.source_of(m)], specific[m]], dim=-1) for m in V}
        keep = known and {m: known[m] & known[self.block.source_of(m)] for m in V}  # (P, batch)
        losses = [
            self._preservation(m, v, fused[m], None if keep is None else keep[m])
            for m, v in V.items()
        ]
        return {TASK: task, "preservation": torch.stack(losses).sum(0)}

    def _encoded(self, m: str, x: Tensor, masks: Named | None, noise: Named | None) -> Tensor:
        if not self.hidden:
            return x
        rest = self.weights.rest[m]
        H = linear(x, rest["hidden"], rest["hidden_bias"]).relu_()  # (P, batch, 64)
        if noise is not None:
            H = H * noise[m]
        V = linear(H, rest["encoded"], rest["encoded_bias"])  # (P, batch, l)
        return V if masks is None else zero_absent(V, masks[m])

    def _separated(self, V: Named) -> tuple[Named, Named]:
        """Own shared (P, batch, l*) and specific parts (P, batch, l), PMR Eq. 4-5."""
        parts = [{m: self._side(m, v, side) for m, v in V.items()} for side in SIDES]
        return parts[0], parts[1]

    def _side(self, m: str, v: Tensor, side: str) -> Tensor:
        maps = self.weights.block[m]
        inner, outer = maps[f"dissolve_{side}"], maps[side]
        offset, bias = (
            maps[f"{name}_bias"] if f"{name}_bias" in maps else None
            for name in (f"dissolve_{side}", side)
        )
        if not self.multiplied:
            return linear(self._dissolved(m, v, side), outer, bias)
        if bias is not None:
            bias = torch.baddbmm(bias[..., None], outer, offset[..., None])[..., 0]
        return linear(v, torch.bmm(outer, inner), bias)

    def _dissolved(self, m: str, v: Tensor, side: str, bias: bool = True) -> Tensor:
        """One side of D (P, batch, channels)."""
        maps, name = self.weights.block[m], f"dissolve_{side}"
        offset = maps[f"{name}_bias"] if bias and f"{name}_bias" in maps else None
        D = linear(v, maps[name], offset)
        return D if self.block.activation is None else self.block.activation(D)

    def _preservation(self, m: str, target: Tensor, fused: Tensor, keep: Tensor | None) -> Tensor:
        """One modality's term of PMR Eq. 6, (P,)."""
        maps = self.weights.block[m]
        found = linear(fused, maps["recon"], maps["recon_bias"] if "recon_bias" in maps else None)
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

    def _task(self, parts: Named, labels: Tensor) -> Tensor:
        """The cross-entropy of the head's logits, (P,)."""
        logits = self.weights.head_bias[:, None]  # (P, 1, classes)
        for m, part in parts.items():
            logits = torch.baddbmm(logits, part, self.weights.rest[m]["head"].mT)
        errors = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return errors.view(labels.shape).mean(1)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + bias: (P, batch, inputs), (P, outputs, inputs), (P, outputs)."""
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)
