"""The parameters of several models one above the other, padded with zeros where widths differ."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pnpfuse.fusion.heads import ConcatHead
from pnpfuse.fusion.maps import Maps
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.pmr import PMR

Pieces = dict[str, Tensor]
Key = tuple[str, str]  # modality, kind
HEAD_BIAS = ("", "head_bias")  # of no modality


class Weights(nn.Module):
    """What P models of the same modalities have in common, one tensor (P, ...) a kind of weight.

    Parameters
    ----------
    models : on one device

    Attributes
    ----------
    rest : weights of encoders and head
    block : weights of the fusion block; kinds as in `pnpfuse.fusion.maps.Maps`, but for what reads
        [shared; specific]: head and P_recon are split into the columns of either
    named : {modality: {kind: (P, ...)}}, all of them
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
        self.rest = Flat([_rest(one) for one in models])
        self.block = Flat([_block(one) for one in models])
        names = self.models[0].dims
        self.named: dict[str, Pieces] = {m: {} for m in names}
        for (m, kind), tensor in (self.rest.tensors | self.block.tensors).items():
            if m in self.named:
                self.named[m][kind] = tensor
        self.head_bias = self.rest.tensors[HEAD_BIAS]

    @torch.no_grad()
    def give_back(self, point: int) -> None:
        """Write the weights of one point to its model."""
        for flat in (self.rest, self.block):
            for key, piece in flat.points[point].items():
                piece.copy_(_corner(flat.tensors[key][point], piece))

    @torch.no_grad()
    def finite(self) -> Tensor:
        """Whether all weights of a point are finite, bool (P,)."""
        finite = [one.isfinite().flatten(1).all(1) for one in self.tensors()]
        return torch.stack(finite).all(0)

    @torch.no_grad()
    def clip(self, largest: float) -> None:
        """Shorten each point's gradient to the norm `largest`, as `clip_grad_norm_` does."""
        gradients = [one.grad.flatten(1) for one in self.tensors() if one.grad is not None]
        norms = [torch.linalg.vector_norm(one, dim=1) for one in gradients]  # each (P,)
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # (P,)
        factor = (largest / (norm + 1e-6)).clamp(max=1.0)  # (P,)
        for one in gradients:
            one.mul_(factor[:, None])

    def tensors(self) -> list[Tensor]:
        """Every tensor (P, ...)."""
        return [*self.rest.tensors.values(), *self.block.tensors.values()]


class Flat(nn.Module):
    """Tensors of several points as one parameter, which an optimiser updates in one go.

    Parameters
    ----------
    points : {key: tensor} of every point; of one rank for a key, but not of one shape perhaps

    Attributes
    ----------
    values : the parameter, with its gradient
    tensors : {key: (P, ...)}, leaves that share its memory and that of its gradient
    """

    def __init__(self, points: Sequence[dict[Key, Tensor]]):
        super().__init__()
        self.points = list(points)
        shapes = {key: _common_shape([one[key] for one in points]) for key in points[0]}
        like, sizes = next(iter(points[0].values())), [math.prod(s) for s in shapes.values()]
        self.values = nn.Parameter(like.new_zeros(sum(sizes)))
        self.values.grad = torch.zeros_like(self.values)
        self.tensors: dict[Key, Tensor] = {}
        views = zip(self.values.detach().split(sizes), self.values.grad.split(sizes), strict=True)
        for (key, shape), (value, slope) in zip(shapes.items(), views, strict=True):
            tensor = value.view(shape)
            for whole, one in zip(tensor, points, strict=True):
                _corner(whole, one[key]).copy_(one[key].detach())
            self.tensors[key] = tensor.requires_grad_()
            tensor.grad = slope.view(shape)


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


def _rest(model: FusionModel) -> dict[Key, Tensor]:
    pieces = {(m, kind): one for m in model.dims for kind, one in rest_of(model, m).items()}
    return pieces | {HEAD_BIAS: head_bias_of(model)}


def _block(model: FusionModel) -> dict[Key, Tensor]:
    return {(m, kind): one for m in model.dims for kind, one in block_of(model, m).items()}


def _common_shape(tensors: list[Tensor]) -> list[int]:
    """Of the tensor that holds one a point, (P, ...)."""
    sizes = zip(*(one.shape for one in tensors), strict=True)
    return [len(tensors), *(max(size) for size in sizes)]


def _corner(whole: Tensor, piece: Tensor) -> Tensor:
    """The first part of `whole`, of the shape of `piece`; the rest is padding."""
    return whole[tuple(slice(size) for size in piece.shape)]
