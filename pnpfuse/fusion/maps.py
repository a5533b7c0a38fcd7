"""The four linear maps of PMR Eq. 4-6 for modalities of equal widths, computed at once."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

SIDES = ("shared", "specific")  # of the boundary


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
    Weights: ``dissolve_shared`` (g, B, l) and ``dissolve_specific`` (g, n l - B, l), the rows of
    P_dis on the two sides of the boundary; ``shared`` (g, l*, B), ``specific`` (g, l, n l - B),
    ``recon`` (g, l, l* + l). Each has its bias ``<name>_bias`` (g, outputs). They are drawn as
    `torch.nn.Linear` draws them.

    Without an activation P (D V) = (P D) V, and in training the cheaper order is taken: maps
    multiplied first cost no factor n for each sample, which pays for batches of more than about
    l n/(2 n - 2) rows.
    """

    recon: Tensor
    recon_bias: Tensor | None

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
        self.activation = activation
        beyond = expanded - boundary
        shapes = {
            "dissolve_shared": (boundary, width),
            "dissolve_specific": (beyond, width),
            "shared": (common, boundary),
            "specific": (width, beyond),
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
        product = width * (common * boundary + width * beyond)  # multiplications, once
        saved = expanded * width + product // width - width * (common + width)  # for each sample
        self._worthwhile = product / saved if saved > 0 else math.inf  # rows

    def dissolved(self, V: Tensor) -> Tensor:
        """D (g, batch, n l) of V (g, batch, l), PMR Eq. 4."""
        return torch.cat([self._dissolved(V, side) for side in SIDES], dim=2)

    def transformed(self, V: Tensor) -> Tensor:
        """`dissolved`; without an activation also without the bias, which differences lose."""
        if self.activation is not None:
            return self.dissolved(V)
        return torch.cat([torch.bmm(V, self._weight(f"dissolve_{side}").mT) for side in SIDES], 2)

    def separate(self, V: Tensor) -> tuple[Tensor, Tensor]:
        """Own shared (g, batch, l*) and specific part (g, batch, l) of V (g, batch, l), Eq. 5."""
        if self.activation is None and self.training and V.shape[1] > self._worthwhile:
            own, specific = (_linear(V, *self.product(side)) for side in SIDES)
        else:
            own, specific = (
                _linear(self._dissolved(V, side), self._weight(side), self._bias(side))
                for side in SIDES
            )
        return own, specific

    def reconstruct(self, Z: Tensor) -> Tensor:
        """P_recon Z (g, batch, l) of Z (g, batch, l* + l), Eq. 6."""
        return _linear(Z, self.recon, self.recon_bias)

    def product(self, side: str) -> tuple[Tensor, Tensor | None]:
        """P_shared P_dis[:B] (g, l*, l) or P_specific P_dis[B:] (g, l, l), with its bias."""
        outer, inner = self._weight(side), self._weight(f"dissolve_{side}")
        bias, offset = self._bias(side), self._bias(f"dissolve_{side}")
        if bias is not None and offset is not None:
            # Not a batched product: with a single column that takes three times as long.
            bias = bias + (outer * offset[:, None]).sum(2)
        return torch.bmm(outer, inner), bias

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Both products one above the other, (g, l* + l, l) and (g, l* + l).

        Multiplied out in double precision: their rounding would stay for good.
        """
        like = self.recon
        double = copy.deepcopy(self).cpu().double()  # not every accelerator has double precision
        weights, biases = zip(*(double.product(side) for side in SIDES), strict=True)
        bias = None if biases[0] is None else torch.cat(biases, dim=1).to(like)
        return torch.cat(weights, dim=1).to(like), bias

    def one(self, index: int) -> dict[str, tuple[Tensor, Tensor | None]]:
        """{"dissolve", "shared", "specific", "recon": (weight, bias)} of one of the modalities."""
        found = {}
        for name in ("dissolve_shared", "dissolve_specific", "shared", "specific", "recon"):
            bias = self._bias(name)
            found[name] = (self._weight(name)[index], None if bias is None else bias[index])
        halves = [found.pop(f"dissolve_{side}") for side in SIDES]
        weights, biases = zip(*halves, strict=True)
        found["dissolve"] = (torch.cat(weights), None if biases[0] is None else torch.cat(biases))
        return found

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={tuple(weight.shape)}"
            for name, weight in self.named_parameters()
            if not name.endswith("_bias")
        )

    def _dissolved(self, V: Tensor, side: str) -> Tensor:
        name = f"dissolve_{side}"
        D = _linear(V, self._weight(name), self._bias(name))
        return D if self.activation is None else self.activation(D)

    def _weight(self, name: str) -> Tensor:
        return getattr(self, name)

    def _bias(self, name: str) -> Tensor | None:
        return getattr(self, f"{name}_bias")


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + bias: (g, batch, inputs), (g, outputs, inputs), (g, outputs)."""
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)
