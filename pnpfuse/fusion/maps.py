"""The four linear maps of PMR Eq. 4-6 for modalities of equal widths, computed at once."""

import copy
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

SIDES = ("shared", "specific")  # of the boundary

Activation = Callable[[Tensor], Tensor]


class LinearMaps(nn.Module):
    """P_dis, P_shared, P_specific and P_recon of g modalities that agree in every width.

    Base of `Maps` and `pnpfuse.fusion.softmaps.SoftMaps`, which differ in the dissolved channels
    that each side of the boundary reads. Stacked, the maps cost one batched product each instead
    of g small ones, and one optimiser update instead of g.

    Parameters
    ----------
    count : g
    shapes : {map: (outputs, inputs)}, those of `DISSOLVE`, "shared", "specific" and "recon"
    bias : whether the maps have biases
    activation : applied to the dissolved features, or None
    fans : {map: inputs that count}, where that is not their number

    Notes
    -----
    Each map has its weight ``<name>`` (g, outputs, inputs) and its bias ``<name>_bias``
    (g, outputs). They are drawn as `torch.nn.Linear` draws them.

    Without an activation P (D V) = (P D) V, and in training the cheaper order is taken: maps
    multiplied first cost no factor n for each sample, which pays for batches of more than about
    l n/(2 n - 2) rows.
    """

    # Rows of P_dis: the first are those that the shared side reads, the last the specific side.
    DISSOLVE: tuple[str, ...]

    recon: Tensor
    recon_bias: Tensor | None

    def __init__(
        self,
        count: int,
        shapes: Mapping[str, tuple[int, int]],
        bias: bool,
        activation: Activation | None,
        fans: Mapping[str, float] | None = None,
    ):
        super().__init__()
        self.activation = activation
        for name, (outputs, inputs) in shapes.items():
            bound = 1 / math.sqrt((fans or {}).get(name, inputs))
            weight = torch.empty(count, outputs, inputs).uniform_(-bound, bound)
            offset = torch.empty(count, outputs).uniform_(-bound, bound) if bias else None
            self.register_parameter(name, nn.Parameter(weight))
            self.register_parameter(
                f"{name}_bias", None if offset is None else nn.Parameter(offset)
            )
        width, whole = shapes["recon"]  # l and l* + l
        expanded = sum(shapes[name][0] for name in self.DISSOLVE)  # n l
        read = sum(math.prod(shapes[side]) for side in SIDES)
        saved = expanded * width + read - width * whole  # multiplications for each sample
        self._worthwhile = width * read / saved if saved > 0 else math.inf  # rows

    def weights(self, share: Tensor | None) -> dict[str, Tensor]:
        """P_shared (g, l*, inputs) and P_specific (g, l, inputs), as they act on what is read.

        share : w (g, n l), by how much each channel is shared; None behind a hard boundary
        """
        return {side: self._weight(side) for side in SIDES}

    def dissolved(self, V: Tensor) -> Tensor:
        """D (g, batch, n l) of V (g, batch, l), PMR Eq. 4."""
        return torch.cat(self._dissolved(V), dim=2)

    def transformed(self, V: Tensor) -> Tensor:
        """`dissolved`; without an activation also without the bias, which differences lose."""
        if self.activation is not None:
            return self.dissolved(V)
        return torch.cat([torch.bmm(V, self._weight(name).mT) for name in self.DISSOLVE], dim=2)

    def separate(self, V: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Own shared (g, batch, l*) and specific part (g, batch, l) of V (g, batch, l), Eq. 5."""
        if self.activation is None and self.training and V.shape[1] > self._worthwhile:
            own, specific = (_linear(V, weight, bias) for weight, bias in self.products(share))
        else:
            weights, parts = self.weights(share), self._dissolved(V)
            own, specific = (
                _linear(D, weights[side], self._bias(side))
                for side, D in zip(SIDES, (parts[0], parts[-1]), strict=True)
            )
        return own, specific

    def reconstruct(self, Z: Tensor) -> Tensor:
        """P_recon Z (g, batch, l) of Z (g, batch, l* + l), Eq. 6."""
        return _linear(Z, self.recon, self.recon_bias)

    def products(self, share: Tensor | None = None) -> list[tuple[Tensor, Tensor | None]]:
        """P_shared P_dis (g, l*, l) and P_specific P_dis (g, l, l), each with its bias."""
        found = []
        for (side, outer), name in zip(self.weights(share).items(), self._rows(), strict=True):
            bias, offset = self._bias(side), self._bias(name)
            if bias is not None and offset is not None:
                # Not a batched product: with a single column that takes three times as long.
                bias = bias + (outer * offset[:, None]).sum(2)
            found.append((torch.bmm(outer, self._weight(name)), bias))
        return found

    @torch.no_grad()
    def folded(self, share: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Both products one above the other, (g, l* + l, l) and (g, l* + l).

        Multiplied out in double precision: their rounding would stay for good.
        """
        like = self.recon
        double = copy.deepcopy(self).cpu().double()  # not every accelerator has double precision
        share = None if share is None else share.cpu().double()
        weights, biases = zip(*double.products(share), strict=True)
        bias = None if biases[0] is None else torch.cat(biases, dim=1).to(like)
        return torch.cat(weights, dim=1).to(like), bias

    def one(
        self, index: int, share: Tensor | None = None
    ) -> dict[str, tuple[Tensor, Tensor | None]]:
        """{"dissolve", "shared", "specific", "recon": (weight, bias)} of one of the modalities."""
        named = self.weights(share) | {
            name: self._weight(name) for name in (*self.DISSOLVE, "recon")
        }
        found = {
            name: (weight[index], None if (bias := self._bias(name)) is None else bias[index])
            for name, weight in named.items()
        }
        weights, biases = zip(*(found.pop(name) for name in self.DISSOLVE), strict=True)
        found["dissolve"] = (torch.cat(weights), None if biases[0] is None else torch.cat(biases))
        return found

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={tuple(weight.shape)}"
            for name, weight in self.named_parameters(recurse=False)
            if not name.endswith("_bias")
        )

    def _dissolved(self, V: Tensor) -> list[Tensor]:
        """The channels of D that each of `DISSOLVE` makes, (g, batch, rows)."""
        parts = [_linear(V, self._weight(name), self._bias(name)) for name in self.DISSOLVE]
        return parts if self.activation is None else [self.activation(D) for D in parts]

    def _rows(self) -> tuple[str, str]:
        """The names of the rows of P_dis that either side reads."""
        return self.DISSOLVE[0], self.DISSOLVE[-1]

    def _weight(self, name: str) -> Tensor:
        return getattr(self, name)

    def _bias(self, name: str) -> Tensor | None:
        return getattr(self, f"{name}_bias")


class Maps(LinearMaps):
    """The maps of a hard boundary: either side reads the channels on its side of the cut.

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
    ``recon`` (g, l, l* + l).
    """

    DISSOLVE = ("dissolve_shared", "dissolve_specific")

    def __init__(
        self,
        count: int,
        width: int,
        expanded: int,
        boundary: int,
        common: int,
        bias: bool,
        activation: Activation | None,
    ):
        beyond = expanded - boundary
        shapes = {
            "dissolve_shared": (boundary, width),
            "dissolve_specific": (beyond, width),
            "shared": (common, boundary),
            "specific": (width, beyond),
            "recon": (width, common + width),
        }
        super().__init__(count, shapes, bias, activation)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + bias: (g, batch, inputs), (g, outputs, inputs), (g, outputs)."""
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)
