"""The four linear maps of PMR Eq. 4-6 for modalities of equal widths, computed at once."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

MAPS = ("dissolve", "shared", "specific", "recon")


class Maps(nn.Module):
    """P_dis, P_shared, P_specific and P_recon of g modalities that agree in every width.

    Stacked, they cost one batched product a map instead of g small ones, and one optimiser update
    instead of g.

    Parameters
    ----------
    count : g
    width : l
    expanded : n l
    boundary : B
    common : l*
    bias : whether the maps have biases
    activation : applied to the dissolved features, or None

    Notes
    -----
    Parameters: ``dissolve`` (g, n l, l), ``shared`` (g, l*, B), ``specific`` (g, l, n l - B) and
    ``recon`` (g, l, l* + l), each with ``<name>_bias`` (g, outputs). They are drawn as
    `torch.nn.Linear` draws them.

    Without an activation P_shared P_dis[:B] and P_specific P_dis[B:] are products of matrices, and
    (P D) V = P (D V). In training the cheaper order is taken: multiplying the maps first costs no
    factor n for each sample, which pays for batches of more than about l n/(2 n - 2) rows.
    """

    def __init__(
        self,
        count: int,
        width: int,
        expanded: int,
        boundary: int,
        common: int,
        bias: bool,
        activation: Callable[[Tensor], Tensor] | None,
    ):
        super().__init__()
        self.boundary = boundary
        self.activation = activation
        shapes = {
            "dissolve": (expanded, width),
            "shared": (common, boundary),
            "specific": (width, expanded - boundary),
            "recon": (width, common + width),
        }
        for name, (outputs, inputs) in shapes.items():
            bound = 1 / math.sqrt(inputs)
            weight = torch.empty(count, outputs, inputs).uniform_(-bound, bound)
            offset = torch.empty(count, outputs).uniform_(-bound, bound) if bias else None
            self.register_parameter(name, nn.Parameter(weight))
            self.register_parameter(
                f"{name}_bias", None if offset is None else nn.Parameter(offset)
            )
        separate = expanded * width + common * boundary + width * (expanded - boundary)
        product = width * (common * boundary + width * (expanded - boundary))
        saved = separate - width * (common + width)  # multiplications for each sample
        self._worthwhile = product / saved if saved > 0 else math.inf  # rows

    def dissolved(self, V: Tensor, bias: bool = True) -> Tensor:
        """D (g, batch, n l) of V (g, batch, l), PMR Eq. 4; without its bias if so asked."""
        D = _linear(V, self.dissolve, self.dissolve_bias if bias else None)
        return D if self.activation is None else self.activation(D)

    def separate(self, V: Tensor) -> tuple[Tensor, Tensor]:
        """Own shared (g, batch, l*) and specific part (g, batch, l) of V (g, batch, l), Eq. 5."""
        if self.activation is None and self.training and V.shape[1] > self._worthwhile:
            weight, bias = self.product()
            both = _linear(V, weight, bias)  # (g, batch, l* + l)
            common = self.shared.shape[1]
            return both[..., :common], both[..., common:]
        D = self.dissolved(V)  # (g, batch, n l)
        own = _linear(D[..., : self.boundary], self.shared, self.shared_bias)
        specific = _linear(D[..., self.boundary :], self.specific, self.specific_bias)
        return own, specific

    def reconstruct(self, Z: Tensor) -> Tensor:
        """P_recon Z (g, batch, l) of Z (g, batch, l* + l), Eq. 6."""
        return _linear(Z, self.recon, self.recon_bias)

    def product(self) -> tuple[Tensor, Tensor | None]:
        """[P_shared P_dis[:B]; P_specific P_dis[B:]] (g, l* + l, l), and its bias (g, l* + l)."""
        first, rest = self.dissolve[:, : self.boundary], self.dissolve[:, self.boundary :]
        weight = torch.cat([self.shared @ first, self.specific @ rest], dim=1)
        if self.dissolve_bias is None:
            return weight, None
        offset = self.dissolve_bias[..., None]  # (g, n l, 1)
        first, rest = offset[:, : self.boundary], offset[:, self.boundary :]
        bias = torch.cat([self.shared @ first, self.specific @ rest], dim=1)[..., 0]
        return weight, bias + torch.cat([self.shared_bias, self.specific_bias], dim=1)

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor | None]:
        """`product`, multiplied out in double precision: its rounding would stay for good."""
        like = self.dissolve
        double = copy.deepcopy(self).cpu().double()  # not every accelerator has double precision
        weight, bias = double.product()
        return weight.to(like), None if bias is None else bias.to(like)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={tuple(getattr(self, name).shape)}" for name in MAPS)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + bias: (g, batch, inputs), (g, outputs, inputs), (g, outputs)."""
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)
