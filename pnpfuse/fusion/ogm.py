"""On-the-fly gradient modulation: the modality that leads is held back."""

from typing import Any

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_number
from pnpfuse.fusion.block import Block
from pnpfuse.fusion.heads import ConcatHead, HeadOutput
from pnpfuse.fusion.outputs import FusionOutput


class Modulate(torch.autograd.Function):
    """V as it is; its gradient times a coefficient (), plus noise as wide as the gradient."""

    @staticmethod
    def forward(ctx: Any, V: Tensor, coefficient: Tensor, noise: bool) -> Tensor:
        ctx.save_for_backward(coefficient)
        ctx.noise = noise
        return V.view_as(V)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (coefficient,) = gradients, ctx.saved_tensors
        modulated = coefficient.to(gradient.dtype) * gradient  # (batch, l_m)
        if ctx.noise:
            modulated = modulated + gradient.std(correction=0) * torch.randn_like(gradient)
        return modulated, None, None


class ModulatedHead(ConcatHead):
    """OGM-GE (Peng et al. 2022): a linear classifier that slows the leading modality down.

    In training with labels, modality m's part of the logits (its columns of the weights, and
    bias/M) gives the score s_m, the mean softmax of the true class. With the discrepancy ratio
    rho_m = s_m / (mean of the other modalities' scores), the gradient that reaches V_m is
    multiplied by ::

        k_m = 1 - tanh(alpha rho_m)   if rho_m > 1, else 1        (Eq. 8-10 for two modalities)

    and Gaussian noise with the standard deviation of the gradient before that is added (the GE).
    The paper scales the gradients of the encoder's parameters and adds the noise to those. The
    scaling at V_m is the same thing; the noise at V_m is not: the encoder's own backward pass
    mixes it. It needs no hand in the training loop. The logits and the classifier's own gradient
    are those of `ConcatHead`.

    Parameters
    ----------
    block : the block in front, of which `fused` is taken
    classes : number of classes
    alpha : strength of the modulation
    noise : whether to add the noise, drawn from torch's global generator
    """

    def __init__(self, block: Block, classes: int, alpha: float = 0.5, noise: bool = True):
        super().__init__(block, classes)
        self.alpha = check_number("alpha", alpha)
        if not isinstance(noise, bool):
            raise ValueError(f"noise must be True or False; found {noise!r}")
        self.noise = noise
        self._widths = list(block.part_widths().values())

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes), no losses; without labels nothing is modulated."""
        if not self.training or labels is None:
            return super().forward(fusion)
        V = [fusion.fused[m] for m in self.names]  # each (batch, l_m)
        coefficients = self.coefficients(fusion, labels)  # (M,)
        V = [Modulate.apply(v, k, self.noise) for v, k in zip(V, coefficients, strict=True)]
        return self.linear(torch.cat(V, dim=-1)), {}

    @torch.no_grad()
    def coefficients(self, fusion: FusionOutput, labels: Tensor) -> Tensor:
        """k (M,) of this batch; 1 for a modality that has no other beside it."""
        V = [fusion.fused[m] for m in self.names]
        columns = self.linear.weight.split(self._widths, dim=1)  # each (classes, l_m)
        bias = self.linear.bias / len(V)  # (classes,)
        scores, counts = [], []
        for v, weight, m in zip(V, columns, self.names, strict=True):
            part = torch.nn.functional.linear(v, weight, bias)  # (batch, classes)
            score = part.float().softmax(-1).gather(1, labels[:, None])[:, 0]  # (batch,)
            kept = fusion.present.get(m, torch.ones_like(labels, dtype=torch.bool))  # (batch,)
            scores.append(torch.where(kept, score, 0.0).sum() / kept.sum().clamp(min=1))
            counts.append(kept.any())
        score, there = torch.stack(scores), torch.stack(counts).float()  # (M,)
        others = (score.sum() - score) / (there.sum() - there).clamp(min=1)  # (M,)
        ratio = torch.where(others > 0, score / others, 1.0)
        return torch.where(ratio > 1, 1 - torch.tanh(self.alpha * ratio), 1.0)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, alpha={self.alpha}, noise={self.noise}"
