"""The inference form of a linear reconfiguration block: one map for each path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence

if TYPE_CHECKING:
    from pnpfuse.fusion.pmr import PMR


class FoldedPMR(Exchange):
    """P_shared P_dis[:B] and P_specific P_dis[B:] of a `PMR` block, multiplied out.

    Made by `PMR.fold`. ``shared.<m>`` is l_k -> l* for the source k of m, ``specific.<m>`` is
    l_m -> l_m. Its parameters are constants (no gradient reaches them).

    Parameters
    ----------
    block : a `PMR` block without activation
    """

    def __init__(self, block: PMR):
        super().__init__(block.widths, block.pairing)
        self.check_values = block.check_values
        for m in self.dims:
            k = self.source_of(m)
            first = slice(None, self.widths.boundary[k])
            rest = slice(self.widths.boundary[m], None)
            self.shared[m] = _product(block.shared[m], block.dissolve[k], first)
            self.specific[m] = _product(block.specific[m], block.dissolve[m], rest)
        self.requires_grad_(False)
        self.train(block.training)

    def forward(self, features: Features, present: Presence | None = None) -> FusionOutput:
        """`fused`, `shared` and `specific` as the unfolded block gives them.

        Parameters
        ----------
        features : {modality: (batch, l_m)}
        present : {modality: bool (batch,)} or None
        """
        V, _ = self._resolve(features, present)  # each (batch, l_m)
        fused, shared, specific = self._exchange(V)
        return FusionOutput(fused, shared, specific)

    def separate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's own shared part (batch, l*) and specific part (batch, l_m)."""
        own = {m: self.shared_of(m)(v) for m, v in V.items()}  # (batch, l*)
        specific = {m: self.specific[m](v) for m, v in V.items()}  # (batch, l_m)
        return own, specific

    def extra_repr(self) -> str:
        return f"dims={self.dims}, shared={self.widths.common}, pairing={self.pairing!r}"


def _product(outer: nn.Module, inner: nn.Module, rows: slice) -> nn.Linear:
    """The map outer(inner(.)[rows]) as one Linear of outer's dtype and device."""
    assert isinstance(outer, nn.Linear) and isinstance(inner, nn.Linear)
    # Multiplied out in double precision: the rounding of the product would stay for good.
    left, right = _double(outer.weight), _double(inner.weight)[rows]
    weight = left @ right  # (out, in)
    # skip_init: drawing weights only to overwrite them would move the caller's random state.
    folded = skip_init(
        nn.Linear,
        inner.in_features,
        outer.out_features,
        bias=outer.bias is not None,
        device=outer.weight.device,
        dtype=outer.weight.dtype,
    )
    with torch.no_grad():
        folded.weight.copy_(weight)
        if folded.bias is not None:
            folded.bias.copy_(left @ _double(inner.bias)[rows] + _double(outer.bias))  # (out,)
    return folded


def _double(parameter: Tensor) -> Tensor:
    return parameter.detach().cpu().double()  # not every accelerator has double precision
