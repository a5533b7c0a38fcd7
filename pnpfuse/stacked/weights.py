"""The parameters of several models one above the other, padded with zeros where widths differ."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pnpfuse.fusion.heads import ConcatHead
from pnpfuse.fusion.maps import Maps
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.pmr import PMR

BIAS = "head_bias"
Pieces = dict[str, Tensor]


class Weights(nn.Module):
    """What P models of the same modalities have in common, one tensor (P, ...) a kind of weight.

    Parameters
    ----------
    models : on one device

    Attributes
    ----------
    rest : {modality: {kind: (P, ...)}} of encoders and head
    block : the same of the fusion block; kinds as in `pnpfuse.fusion.maps.Maps`, but for what
        reads [shared; specific]: head and P_recon are split into the columns of either
    head_bias : (P, classes)

    Notes
    -----
    Models that differ in b or n differ in the widths B and n l - B of the two sides of the
    boundary. The narrower are filled up with zeros, in P_dis and in P_shared or P_specific alike,
    and stay so: a channel that is made with weight zero is zero (0 under every activation here),
    so what reads it gets no gradient; it is read with weight zero, so what makes it gets none.
    Weight decay and momentum keep a zero too.
    """

    def __init__(self, models: Sequence[FusionModel]):
        super().__init__()
        self.models = list(models)
        names = list(self.models[0].dims)
        self.rest = nn.ModuleDict({m: _stacked([rest_of(one, m) for one in models]) for m in names})
        self.block = nn.ModuleDict(
            {m: _stacked([block_of(one, m) for one in models]) for m in names}
        )
        self.head_bias = nn.Parameter(torch.stack([head_bias_of(one) for one in models]))

    @torch.no_grad()
    def give_back(self, point: int) -> None:
        """Write the weights of one point to its model."""
        model = self.models[point]
        head_bias_of(model).copy_(self.head_bias[point])
        for groups, pieces_of in ((self.rest, rest_of), (self.block, block_of)):
            for m, stacked in groups.items():
                for kind, piece in pieces_of(model, m).items():
                    whole = cast(nn.ParameterDict, stacked)[kind][point]
                    piece.copy_(whole[tuple(slice(size) for size in piece.shape)])

    @torch.no_grad()
    def finite(self) -> Tensor:
        """Whether all weights of a point are finite, bool (P,)."""
        finite = [weight.isfinite().flatten(1).all(1) for weight in self.parameters()]
        return torch.stack(finite).all(0)

    @torch.no_grad()
    def clip(self, largest: float) -> None:
        """Shorten each point's gradient to the norm `largest`, as `clip_grad_norm_` does."""
        gradients = [weight.grad for weight in self.parameters() if weight.grad is not None]
        norms = [torch.linalg.vector_norm(one.flatten(1), dim=1) for one in gradients]  # (P,)
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # (P,)
        factor = (largest / (norm + 1e-6)).clamp(max=1.0)  # (P,)
        for one in gradients:
            one.mul_(factor.view(-1, *[1] * (one.ndim - 1)))


def rest_of(model: FusionModel, modality: str) -> Pieces:
    """Views of the weights of one modality's encoder and of its columns of the head."""
    pieces: Pieces = {}
    if model.encoders is not None:
        first, last = (cast(nn.Linear, model.encoders[modality][i]) for i in (0, 3))  # type: ignore
        pieces = {
            "hidden": first.weight,  # (64, d)
            "hidden_bias": first.bias,  # (64,)
            "encoded": last.weight,  # (l, 64)
            "encoded_bias": last.bias,  # (l,)
        }
    head, block = cast(ConcatHead, model.head), cast(PMR, model.block)
    widths = block.part_widths(head.parts)
    columns = head.linear.weight.split(list(widths.values()), dim=1)  # each (classes, width)
    own = dict(zip(widths, columns, strict=True))[modality]
    if head.parts != "all":
        return pieces | {f"head_{head.parts}": own}
    return pieces | _by_side("head", own, block.widths.common)


def block_of(model: FusionModel, modality: str) -> Pieces:
    """Views of one modality's weights in the fusion block, by their names in `Maps`."""
    block = cast(PMR, model.block)
    j = next(j for j, group in enumerate(block.groups) if modality in group)
    i = block.groups[j].index(modality)
    own = {kind: weight[i] for kind, weight in cast(Maps, block.maps[j]).named_parameters()}
    return own | _by_side("recon", own.pop("recon"), block.widths.common)


def head_bias_of(model: FusionModel) -> Tensor:
    """The bias of the classifier, (classes,)."""
    return cast(ConcatHead, model.head).linear.bias


def _by_side(kind: str, weight: Tensor, common: int) -> Pieces:
    """The columns of a map of [shared; specific] that read either of them."""
    return {f"{kind}_shared": weight[:, :common], f"{kind}_specific": weight[:, common:]}


def _stacked(points: list[Pieces]) -> nn.ParameterDict:
    return nn.ParameterDict(
        {kind: nn.Parameter(_padded([pieces[kind] for pieces in points])) for kind in points[0]}
    )


def _padded(tensors: list[Tensor]) -> Tensor:
    """Tensors of one rank one above the other (P, ...), each in the first corner of its own."""
    shape = [max(sizes) for sizes in zip(*(t.shape for t in tensors), strict=True)]
    stacked = tensors[0].new_zeros(len(tensors), *shape)
    for whole, tensor in zip(stacked, tensors, strict=True):
        whole[tuple(slice(size) for size in tensor.shape)] = tensor.detach()
    return stacked
